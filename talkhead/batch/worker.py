"""A worker of a batch: renders one row after the other on one device."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

from talkhead.animation.animator import Animator
from talkhead.batch.options import BatchOptions
from talkhead.batch.plan import Task
from talkhead.batch.results import Result, stamp, write_note
from talkhead.errors import sentence
from talkhead.motion.template import read_driving
from talkhead.progress import Progress

log = logging.getLogger(__name__)


class Worker:
    """Renders rows on one device. Weights are loaded when a row first needs them, and kept.

    folder: of the results. progress: is called while a row is rendered.
    """

    def __init__(
        self, folder: Path, options: BatchOptions, device: str, progress: Progress | None = None
    ) -> None:
        self._folder = folder
        self._options = replace(options, device=device)
        self._progress = progress
        self._loaded: tuple[Path | None, Animator] | None = None

    def do(self, task: Task) -> Result:
        """Render a row, and note what became of it; what goes wrong is in the result."""
        started = time.perf_counter()
        try:
            result = self._render(task)
        except Exception as error:  # a row fails alone
            log.debug("row %d", task.job.row, exc_info=True)
            result = replace(task.waiting, status="failed", error=sentence(error))
        result = replace(result, seconds=round(time.perf_counter() - started, 3))
        try:
            write_note(self._folder, result)
        except OSError as error:  # the report says the same
            log.warning("row %d could not be noted: %s", task.job.row, sentence(error))
        return result

    def _render(self, task: Task) -> Result:
        job, output = task.job, self._folder / task.job.output
        write_note(self._folder, replace(task.waiting, status="begun", stamp=stamp(output)))
        report = self._animator(job.weights)(
            job.source, read_driving(job.driving), output, job.settings, overwrite=task.overwrite
        )
        return replace(
            task.waiting,
            status="done",
            frames=report.frames,
            resumed=report.resumed,
            lost=report.lost,
            stamp=stamp(output),
        )

    def _animator(self, weights: Path | None) -> Animator:
        if self._loaded is None or self._loaded[0] != weights:
            self._loaded = None  # there may be no memory for two
            engine = replace(self._options, weights=weights).load()
            self._loaded = weights, Animator(engine, self._progress)
        return self._loaded[1]

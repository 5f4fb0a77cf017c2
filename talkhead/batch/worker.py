"""A worker of a batch: renders one row after the other on one device."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

from talkhead.animation.animator import Animator, RenderReport
from talkhead.batch.plan import Task
from talkhead.batch.results import Result, stamp, write_note
from talkhead.errors import sentence
from talkhead.inference.options import EngineOptions
from talkhead.motion.template import read_driving
from talkhead.progress import Progress

log = logging.getLogger(__name__)


class Worker:
    """Renders rows on one device. Weights are loaded when a row first needs them, and kept.

    folder: of the results. progress: is called while a row is rendered.
    report: of the last row, if it was rendered.
    """

    def __init__(
        self, folder: Path, options: EngineOptions, progress: Progress | None = None
    ) -> None:
        self._folder = folder
        self._options = options
        self._progress = progress
        self._loaded: tuple[Path | None, Animator] | None = None
        self.report: RenderReport | None = None

    def do(self, task: Task, motion_out: Path | None = None) -> Result:
        """Render a row, and note what became of it; what goes wrong is in the result.

        motion_out: where the driver's motion goes, too.
        """
        started, self.report = time.perf_counter(), None
        try:
            result = self._render(task, motion_out)
        except Exception as error:  # a row fails alone
            log.debug("row %d", task.job.row, exc_info=True)
            result = replace(task.waiting, status="failed", error=sentence(error))
        result = replace(result, seconds=round(time.perf_counter() - started, 3))
        try:
            write_note(self._folder, result)
        except OSError as error:  # the report says the same
            log.warning("row %d could not be noted: %s", task.job.row, sentence(error))
        return result

    def _render(self, task: Task, motion_out: Path | None) -> Result:
        job, output = task.job, self._folder / task.job.output
        write_note(self._folder, replace(task.waiting, status="begun", stamp=stamp(output)))
        self.report = report = self.animator(job.weights)(
            job.sources,
            read_driving(job.driving),
            output,
            job.settings,
            motion_out=motion_out,
            overwrite=task.overwrite,
        )
        return replace(
            task.waiting,
            status="done",
            frames=report.frames,
            resumed=report.resumed,
            lost=report.lost,
            stamp=stamp(output),
        )

    def animator(self, weights: Path | None) -> Animator:
        """What renders with these weights. Raises TalkheadError for those that cannot be used."""
        if self._loaded is None or self._loaded[0] != weights:
            self._loaded = None  # there may be no memory for two
            engine = replace(self._options, weights=weights).load()
            self._loaded = weights, Animator(engine, self._progress)
        return self._loaded[1]

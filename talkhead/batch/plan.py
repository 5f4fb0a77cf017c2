"""What there is to do for a batch: which rows are done, cannot be, or are to be rendered."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from talkhead import checkpoint
from talkhead.animation.fingerprint import Drawing, fingerprint
from talkhead.animation.paths import check_inputs, check_output, files_of, files_written
from talkhead.batch.jobs import OUTPUT, Job
from talkhead.batch.results import Result, Results
from talkhead.bundled import sha256
from talkhead.device import PRECISIONS
from talkhead.errors import TalkheadError, sentence
from talkhead.inference.options import EngineOptions
from talkhead.io.atomic import identity, refuse_read
from talkhead.motion.template import read_driving


@dataclass(frozen=True)
class Task:
    """A job that is to be rendered.

    waiting: its result as long as it is not. overwrite: whether its output may be replaced.
    """

    job: Job
    waiting: Result
    overwrite: bool


class Plan:
    """Decides about rows, one after the other.

    overwrite: replace other files that have the name of an output. retry: also render rows that
    have failed before. table: the file of the jobs, which nothing is written over.
    """

    def __init__(
        self,
        results: Results,
        options: EngineOptions,
        *,
        overwrite: bool,
        retry: bool,
        table: Path | None = None,
    ) -> None:
        self._results = results
        self._precision = PRECISIONS[options.precision]
        self._overwrite = overwrite
        self._retry = retry
        self._tables = [table] if table else []
        self._taken: dict[Path, int] = {}
        self._read: set[tuple[int, int]] = set()  # by any row
        self._digest = lru_cache(maxsize=None)(sha256)
        self._driving = lru_cache(maxsize=16)(read_driving)

    def __call__(self, rows: Iterable[Job | Result]) -> list[Result | Task]:
        """The result of every row that has one already, and what to do for the others."""
        rows = list(rows)
        self.keep_inputs(row for row in rows if isinstance(row, Job))
        return [row if isinstance(row, Result) else self._row(row) for row in rows]

    def keep_inputs(self, jobs: Iterable[Job]) -> None:
        """Write no output over what any of these jobs reads."""
        for path in {path for job in jobs for path in (*job.sources, job.driving)}:
            with suppress(OSError, TalkheadError):  # told of in its own row
                self._read |= {identity(file) for file in (path, *files_of([path]))}

    def _row(self, job: Job) -> Result | Task:
        try:
            return self.decide(job)
        except (TalkheadError, OSError) as error:
            return replace(_waiting(job), status="failed", error=sentence(error))

    def decide(self, job: Job) -> Result | Task:
        """The result of a job that has one already, or what to do for it.

        Raises TalkheadError for inputs that are not there and for an output that cannot or should
        not be written; a driver that cannot be used is a result.
        """
        waiting = _waiting(job)
        folder, output = self._results.folder, self._results.folder / job.output
        if (first := self._taken.setdefault(job.output, job.row)) != job.row:
            raise TalkheadError(
                f"it writes the same output {job.output} as row {first}; name another in the "
                f"column {OUTPUT}"
            )
        weights = job.weights or checkpoint.default_weights()
        read = [*job.sources, job.driving, weights]
        check_inputs(read)
        drawing = Drawing(self._digest(weights), self._precision)
        try:
            driving = self._driving(job.driving)
        except TalkheadError as error:
            return replace(waiting, status="failed", error=sentence(error))
        work = fingerprint(drawing, job.sources, driving, job.settings)
        found = self._results.found.get(waiting.output)
        if found is not None and found.is_done(folder, work):
            return replace(found, row=job.row)
        if found is not None and found.has_failed(work) and not self._retry:
            return replace(found, row=job.row)
        begun = self._results.begun.get(waiting.output)
        overwrite = self._overwrite or (begun is not None and begun.has_made(folder, work))
        if not job.output.is_absolute():
            output.parent.mkdir(parents=True, exist_ok=True)
        check_output(output, [*read, *self._tables], overwrite)
        refuse_read(files_written(output), self._read)
        return Task(job, replace(waiting, work=work), overwrite)


def _waiting(job: Job) -> Result:
    sources = ", ".join(map(str, job.sources))
    return Result(job.row, "waiting", sources, str(job.driving), job.output.as_posix())


def after_loss(task: Task, results: Results) -> Result | Task:
    """What to do for a task whose worker is gone: nothing more if it has noted the end of it."""
    noted, work = results.note_of(task.waiting.output), task.waiting.work
    if noted is None:
        return task
    if noted.is_done(results.folder, work) or noted.has_failed(work):
        return noted
    return replace(task, overwrite=task.overwrite or noted.has_made(results.folder, work))

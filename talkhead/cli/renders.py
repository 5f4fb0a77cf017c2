"""Several renders in one command: what is done is passed over, what fails fails alone."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkhead.cli.console import say
from talkhead.errors import TalkheadError, sentence
from talkhead.io.atomic import fitting_name, write_text
from talkhead.io.owned import read_own

if TYPE_CHECKING:
    from talkhead.animation.animator import Animator, RenderReport
    from talkhead.animation.settings import RenderSettings

log = logging.getLogger(__name__)

JOURNAL = ".talkhead-batch.json"


@dataclass(frozen=True)
class Job:
    """One output file: its sources (several share a grid) and what drives them."""

    sources: list[Path]
    driving: Path
    output: Path


def plan(
    sources: list[Path], drivings: list[Path], output: Path, *, grid: bool, folder: bool
) -> list[Job]:
    """Which sources and driver go into which output file.

    folder: `output` is meant as a folder, whatever its name. Raises TalkheadError where several
    videos would have one name.
    """
    groups = [sources] if grid else [[source] for source in sources]
    count = len(groups) * len(drivings)
    if count == 1:
        return [Job(groups[0], drivings[0], output)]
    if output.suffix and not folder:
        raise TalkheadError(
            f"{count} videos do not fit into {output}; give a folder with -o (end it with /)"
        )
    jobs = [
        Job(group, driving, output / fitting_name(f"{group[0].stem}--{driving.stem}", ".mp4"))
        for driving in drivings
        for group in groups
    ]
    if len({job.output for job in jobs}) < len(jobs):
        raise TalkheadError("two of the inputs have the same name; rename one of them")
    return jobs


class Journal:
    """What an unfinished batch has made, in a hidden file beside it.

    A file counts as made only as long as it is as it was left, and for the same work.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        if self._path.is_symlink():
            raise TalkheadError(f"{self._path} is a link, which is not written to; remove it")
        self._made: dict[str, Any] = {}
        with contextlib.suppress(ValueError, RecursionError):  # damaged: nothing counts as made
            found = json.loads(read_own(self._path) or b"{}")
            self._made = found if isinstance(found, dict) else {}

    def has(self, output: Path) -> bool:
        """Whether the batch has made this very file."""
        return output.is_file() and self._entry(output)[1:] == _stamp(output)

    def is_done(self, output: Path, work: str) -> bool:
        """Whether it has made it of the same inputs with the same settings."""
        return self.has(output) and self._entry(output)[0] == work

    def _entry(self, output: Path) -> list[Any]:
        entry = self._made.get(str(output.resolve()))
        return entry if isinstance(entry, list) and entry else [None]

    def note(self, output: Path, work: str) -> None:
        """This file is made."""
        self._made[str(output.resolve())] = [work, *_stamp(output)]
        write_text(self._path, json.dumps(self._made))

    def remove(self) -> None:
        """All is made; from now on the files are like any others."""
        self._path.unlink(missing_ok=True)


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


class Batch:
    """The jobs of one command, done one after the other.

    motion_out: where the driver's motion goes; that of the first job, since all have one driver.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        settings: RenderSettings,
        motion_out: Path | None,
        overwrite: bool,
        journal: Journal | None,
    ) -> None:
        self.jobs = jobs
        self._settings = settings
        self._motion_out = motion_out
        self._overwrite = overwrite
        self._journal = journal
        self._failed: dict[Path, str] = {}

    def check(self, weights: Path) -> None:
        """Refuse, before anything slow, outputs that cannot or should not be written."""
        from talkhead.animation.paths import check_output

        for job in self.jobs:
            read = [*job.sources, job.driving, weights]
            for path in (job.output, *([self._motion_out] if self._motion_out else [])):
                if self._journal is None or not self._journal.has(path):
                    check_output(path, read, self._overwrite)

    def run(self, render: Animator) -> Iterator[tuple[Job, RenderReport | str | None]]:
        """Every job with its report, or why it failed, or None where an earlier run has done it.

        A job that is alone raises what goes wrong.
        """
        for job in self.jobs:
            try:
                yield job, self._do(render, job)
            except Exception as error:
                if self._journal is None:
                    raise
                log.debug("%s", job.output, exc_info=True)
                self._failed[job.output] = sentence(error)
                say(f"error: {job.output}: {self._failed[job.output]}")
                yield job, self._failed[job.output]
        if self._journal is not None and not self._failed:
            self._journal.remove()

    def _do(self, render: Animator, job: Job) -> RenderReport | None:
        from talkhead.animation.fingerprint import fingerprint
        from talkhead.motion.template import read_driving

        driving = read_driving(job.driving)
        work = fingerprint(render.engine, job.sources, driving, self._settings)
        moved = fingerprint(render.engine, [], driving, self._settings)
        motion_out, journal = self._motion_out, self._journal
        if journal is not None:
            if motion_out and journal.is_done(motion_out, moved):
                motion_out = None
            if journal.is_done(job.output, work):
                return None
        report = render(
            job.sources,
            driving,
            job.output,
            self._settings,
            motion_out=motion_out,
            overwrite=self._overwrite,
        )
        if journal is not None:
            journal.note(job.output, work)
            if motion_out is not None:
                journal.note(motion_out, moved)
        return report

    def table(self) -> str:
        """What became of every job, a line each."""
        width = max(len(str(job.output)) for job in self.jobs)
        lines = [f"{len(self._failed)} of {len(self.jobs)} videos could not be made:"]
        for job in self.jobs:
            why = self._failed.get(job.output)
            lines.append(f"{job.output!s:<{width}}  {'made' if why is None else f'failed: {why}'}")
        return "\n".join(lines)


@contextlib.contextmanager
def opened(
    jobs: Sequence[Job], settings: RenderSettings, motion_out: Path | None, overwrite: bool
) -> Iterator[Batch]:
    """A batch; the folder for several videos is made, and goes again if nothing is put into it."""
    if len(jobs) == 1:
        yield Batch(jobs, settings, motion_out, overwrite, None)
        return
    folder = jobs[0].output.parent
    made = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield Batch(jobs, settings, motion_out, overwrite, Journal(folder))
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()

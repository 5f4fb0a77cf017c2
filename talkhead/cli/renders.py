"""The renders of one command. Of several, what is done is passed over, what fails fails alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from talkhead.errors import TalkheadError
from talkhead.inference.options import EngineOptions

if TYPE_CHECKING:
    from talkhead.animation.animator import RenderReport
    from talkhead.animation.settings import RenderSettings
    from talkhead.batch.jobs import Job
    from talkhead.batch.results import Result
    from talkhead.progress import Progress


def plan(
    sources: list[Path],
    drivings: list[Path],
    output: str,
    settings: RenderSettings,
    weights: Path | None,
) -> tuple[Path, list[Job]]:
    """A folder, and which sources and driver go into which output file below it.

    Where there is only one, its output is a path of its own. A name that ends with a slash, or is a
    folder, stands for that. Raises TalkheadError where several videos would have one name.
    """
    from talkhead.batch.jobs import Job, usual_name
    from talkhead.video.formats import CONTAINERS
    from talkhead.video.pictures import IN_FOLDER

    path, is_folder = Path(output), output.endswith(("/", os.sep))
    groups = [sources] if settings.layout == "grid" else [[source] for source in sources]
    pairs = [(tuple(group), driving) for driving in drivings for group in groups]
    names = [Path(usual_name(group[0], driving)) for group, driving in pairs]
    if len(pairs) == 1:
        is_folder |= path.is_dir() and path.suffix.lower() not in CONTAINERS
        path, names = Path(), [path / IN_FOLDER if is_folder else path]
    elif path.suffix and not is_folder and not path.is_dir():
        raise TalkheadError(
            f"{len(pairs)} videos do not fit into {path}; give a folder with -o (end it with /)"
        )
    if len(set(names)) < len(names):
        raise TalkheadError("two of the inputs have the same name; rename one of them")
    rows = enumerate(zip(pairs, names, strict=True), 1)
    return path, [Job(row, *pair, name, settings, weights) for row, (pair, name) in rows]


def render_one(
    job: Job,
    engine: EngineOptions,
    motion_out: Path | None,
    overwrite: bool,
    progress: Progress | None,
) -> RenderReport:
    """A job that is alone. Raises TalkheadError, for its output before anything slow."""
    from talkhead.animation.animator import Animator
    from talkhead.animation.paths import check_output
    from talkhead.checkpoint import default_weights
    from talkhead.motion.template import read_driving

    read = [*job.sources, job.driving, job.weights or default_weights()]
    for path in (job.output, *([motion_out] if motion_out else [])):
        check_output(path, read, overwrite)
    return Animator(engine.load(), progress)(
        job.sources,
        read_driving(job.driving),
        job.output,
        job.settings,
        motion_out=motion_out,
        overwrite=overwrite,
    )


def render_all(
    folder: Path,
    jobs: Sequence[Job],
    engine: EngineOptions,
    motion_out: Path | None,
    overwrite: bool,
    progress: Progress | None,
) -> Iterator[tuple[Result, RenderReport | None]]:
    """What becomes of every job, in order; without a report where it has failed or was made before.

    motion_out: where the motion of their one driver goes; it is made with the first of them.

    Raises TalkheadError, before anything slow, for outputs that cannot or should not be written.
    """
    from talkhead.batch.plan import Plan, Task
    from talkhead.batch.results import Result, Results, stamp, write_note
    from talkhead.batch.worker import Worker

    with Results(folder, kept=False) as results:
        planner = Plan(results, engine, overwrite=overwrite, retry=True)
        planner.keep_inputs(jobs)
        motion: Result | Task | None = None
        if motion_out is not None:  # a row of its own, which shows no source
            row = replace(jobs[0], row=0, sources=(), output=motion_out.absolute())
            motion = planner.decide(row)
        planned = [planner.decide(job) for job in jobs]
        worker = Worker(folder, engine, progress)
        worker.animator(engine.weights)
        results.put(each if isinstance(each, Result) else each.waiting for each in planned)
        for each in planned:
            if isinstance(each, Result):
                yield each, None
                continue
            result = worker.do(each, motion_out if isinstance(motion, Task) else None)
            results.put([result])
            if worker.report is not None and isinstance(motion, Task):
                made = folder / motion.waiting.output
                motion = replace(motion.waiting, status="done", stamp=stamp(made))
                write_note(folder, motion)
                results.put([motion])
            yield result, worker.report

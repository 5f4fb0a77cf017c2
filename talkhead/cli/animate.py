"""`talkhead animate`."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkhead.animation.settings import RenderSettings
from talkhead.cli.console import say
from talkhead.cli.from_options import with_options
from talkhead.cli.live import PIPE, describe_live, is_live, run_live
from talkhead.cli.options import ConsoleOptions
from talkhead.cli.renders import Job, opened, plan
from talkhead.errors import TalkheadError
from talkhead.inference.options import EngineOptions
from talkhead.options import OUTPUT, VIDEO
from talkhead.printable import counted

if TYPE_CHECKING:
    from talkhead.animation.animator import RenderReport


@with_options()
def animate(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... DRIVING",
            help="One or more portraits (images, or videos whose first frame is taken; quoted "
            "patterns work), then the driving video: any video, GIF, folder or pattern of images, "
            "a motion template, - (video from standard input) or camera:NAME.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="The video to write (.mp4, .mov, .mkv, .webm, .gif, a folder or pattern of PNGs); "
            "a folder when there are several sources or drivings; - (Matroska on standard output). "
            "A name that ends with / is a folder.",
            rich_help_panel=OUTPUT,
        ),
    ],
    settings: RenderSettings,
    engine: EngineOptions,
    console: ConsoleOptions,
    driving: Annotated[
        list[str] | None,
        typer.Option(
            "--driving",
            "-d",
            help="One more driving video. Can be repeated.",
            rich_help_panel=VIDEO,
        ),
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Standard input holds raw rgb24 frames of this size.",
            rich_help_panel=VIDEO,
        ),
    ] = None,
    motion_out: Annotated[
        Path | None,
        typer.Option(
            help="Also write the driver's motion, to use it without the video (.safetensors).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Make portraits move and talk like a driving video."""
    with console.running() as progress:
        from talkhead.animation.animator import Animator
        from talkhead.checkpoint import default_weights

        sources, drivings = inputs(source, driving or [])
        if is_live(drivings, Path(output)):
            if motion_out is not None:
                raise TalkheadError("the motion of a live driver is not kept; leave --motion-out")
            live = run_live(
                sources, drivings, Path(output), engine.load(batch_size=1), settings,
                raw=raw, overwrite=console.overwrite, progress=progress,
            )  # fmt: skip
            console.show(asdict(live), describe_live(live), aside=output == PIPE)
            return
        if raw is not None:
            raise TalkheadError("--raw describes frames on standard input; give - as the driver")
        check_motion_out(motion_out, drivings)
        jobs = jobs_for(sources, drivings, output, grid=settings.layout == "grid")
        with opened(jobs, settings, motion_out, console.overwrite) as batch:
            batch.check(engine.weights or default_weights())
            failed = 0
            for job, outcome in batch.run(Animator(engine.load(), progress)):
                failed += isinstance(outcome, str)
                console.show(facts(job, outcome), describe(job, outcome))
        if failed:
            say(batch.table())
            raise typer.Exit(1)


def check_motion_out(motion_out: Path | None, drivings: list[Path]) -> None:
    """Whether motion can be written there. TalkheadError."""
    from talkhead.motion.template import MOTION_SUFFIX

    if motion_out is None:
        return
    if len(drivings) != 1:
        raise TalkheadError("--motion-out takes the motion of one driver; give only one")
    if motion_out.suffix.lower() != MOTION_SUFFIX:
        raise TalkheadError(f"--motion-out {motion_out}: end its name with {MOTION_SUFFIX}")


def jobs_for(sources: list[Path], drivings: list[Path], output: str, grid: bool) -> list[Job]:
    """The plan for `--output`: a name that ends with a slash, or is a folder, stands for that."""
    from talkhead.video.formats import CONTAINERS
    from talkhead.video.pictures import IN_FOLDER

    path = Path(output)
    folder = output.endswith(("/", os.sep)) or (
        path.is_dir() and path.suffix.lower() not in CONTAINERS
    )
    jobs = plan(sources, drivings, path, grid=grid, folder=folder or path.is_dir())
    if len(jobs) == 1 and folder:
        return [replace(jobs[0], output=path / IN_FOLDER)]
    return jobs


def inputs(positional: list[str], more_drivings: list[str]) -> tuple[list[Path], list[Path]]:
    """Sources and drivings; the last positional argument is a driving video."""
    if len(positional) < 2 and not more_drivings:
        raise typer.BadParameter("give at least one source and a driving video")
    from talkhead.animation.paths import refuse_address

    for text in (*positional, *more_drivings):
        refuse_address(text)
    last = [positional[-1]] if len(positional) > 1 else []
    sources = [path for text in positional[: len(positional) - len(last)] for path in expand(text)]
    return sources, [Path(text) for text in [*last, *more_drivings]]


def expand(text: str) -> list[Path]:
    """A path, or all that a quoted pattern finds, in order. Folders may have brackets in names."""
    path = Path(text)
    if path.exists() or not any(mark in text for mark in "*?["):
        return [path]
    folder = escape(str(path.parent)) if path.parent.is_dir() else str(path.parent)
    found = sorted(glob(f"{folder}/{path.name}"))
    if not found:
        raise TalkheadError(f"nothing matches {text}")
    return [Path(each) for each in found]


def facts(job: Job, outcome: RenderReport | str | None) -> dict[str, Any]:
    """What became of a job, for scripts."""
    if outcome is None:
        return {"output": str(job.output), "passed_over": True}
    if isinstance(outcome, str):
        return {"output": str(job.output), "error": outcome}
    return asdict(outcome)


def describe(job: Job, outcome: RenderReport | str | None) -> str:
    """The same for people, in one line."""
    if outcome is None:
        return f"{job.output}: made before, passed over"
    if isinstance(outcome, str):
        return f"{job.output}: failed"
    report = outcome
    frames = counted(report.frames, "frame")
    text = f"{report.output}: {frames}, {report.frames_per_second:.1f} per second"
    if report.resumed:
        text += f", {report.resumed} of them from an interrupted run"
    if report.lost:
        text += f"; the driving face was lost {counted(report.lost, 'time')}"
    return text

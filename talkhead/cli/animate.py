"""`talkhead animate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talkhead.animation.settings import RenderSettings
from talkhead.cli.console import say
from talkhead.cli.from_options import with_options
from talkhead.cli.live import PIPE, describe_live, is_live, run_live
from talkhead.cli.options import ConsoleOptions
from talkhead.cli.renders import plan, render_all, render_one
from talkhead.errors import TalkheadError
from talkhead.inference.options import EngineOptions
from talkhead.options import OUTPUT, VIDEO, Option
from talkhead.printable import counted

if TYPE_CHECKING:
    from talkhead.animation.animator import RenderReport
    from talkhead.batch.results import Result


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
        Option(
            "The video to write (.mp4, .mov, .mkv, .webm, .gif, a folder or pattern of PNGs); "
            "a folder when there are several sources or drivings; - (Matroska on standard output). "
            "A name that ends with / is a folder.",
            OUTPUT,
            ("--output", "-o"),
        ),
    ],
    settings: RenderSettings,
    engine: EngineOptions,
    console: ConsoleOptions,
    driving: Annotated[
        tuple[str, ...],
        Option("One more driving video. Can be repeated.", VIDEO, ("--driving", "-d")),
    ] = (),
    raw: Annotated[
        str | None,
        Option(
            "Standard input holds raw rgb24 frames of this size.", VIDEO, metavar="WIDTHxHEIGHT"
        ),
    ] = None,
    motion_out: Annotated[
        Path | None,
        Option(
            "Also write the driver's motion, to use it without the video (.safetensors).", OUTPUT
        ),
    ] = None,
) -> None:
    """Make portraits move and talk like a driving video."""
    with console.running() as progress:
        sources, drivings = inputs(source, driving)
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
        folder, jobs = plan(sources, drivings, output, settings, engine.weights)
        shared = engine, motion_out, console.overwrite, progress
        if len(jobs) == 1:
            report = render_one(jobs[0], *shared)
            console.show(asdict(report), describe(report))
        else:
            outputs = [folder / job.output for job in jobs]
            show_all(outputs, render_all(folder, jobs, *shared), console)


def show_all(
    outputs: list[Path],
    rendered: Iterable[tuple[Result, RenderReport | None]],
    console: ConsoleOptions,
) -> None:
    """Say what becomes of every output as soon as it is known; exit with 1 where one failed."""
    failed = {}
    for path, (result, report) in zip(outputs, rendered, strict=True):
        if result.error is not None:
            failed[path] = result.error
            say(f"error: {path}: {result.error}")
            console.show({"output": str(path), "error": result.error}, f"{path}: failed")
        elif report is None:
            words = f"{path}: made before, passed over"
            console.show({"output": str(path), "passed_over": True}, words)
        else:
            console.show(asdict(report), describe(report))
    if failed:
        width = max(len(str(path)) for path in outputs)
        say(f"{len(failed)} of {len(outputs)} videos could not be made:")
        for path in outputs:
            say(f"{path!s:<{width}}  {f'failed: {failed[path]}' if path in failed else 'made'}")
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


def inputs(positional: list[str], more_drivings: Sequence[str]) -> tuple[list[Path], list[Path]]:
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


def describe(report: RenderReport) -> str:
    """What was rendered, in one line."""
    frames = counted(report.frames, "frame")
    text = f"{report.output}: {frames}, {report.frames_per_second:.1f} per second"
    if report.resumed:
        text += f", {report.resumed} of them from an interrupted run"
    if report.lost:
        text += f"; the driving face was lost {counted(report.lost, 'time')}"
    return text

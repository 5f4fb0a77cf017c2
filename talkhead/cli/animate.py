"""`talkhead animate`."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from enum import StrEnum
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkhead.cli.batch import Job, opened, plan
from talkhead.cli.console import (
    AsJson,
    Debug,
    Overwrite,
    Quiet,
    plain_errors,
    progress_bar,
    say,
    show,
)
from talkhead.cli.live import PIPE, describe_live, is_live, run_live
from talkhead.cli.options import (
    AdaptScale,
    Anchor,
    Bf16,
    Compile,
    CropDriving,
    CropSource,
    Detector,
    DetectorName,
    Device,
    DrivingFace,
    End,
    Fp16,
    Frames,
    Motion,
    MotionMode,
    Rate,
    SourceFace,
    Start,
    Weights,
    precision_of,
)
from talkhead.errors import TalkheadError

if TYPE_CHECKING:
    from talkhead.animation.animator import RenderReport


class LayoutName(StrEnum):
    result = "result"
    side_by_side = "side-by-side"
    grid = "grid"


def animate(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... DRIVING",
            help="One or more portraits (images, or videos whose first frame is taken; quoted "
            "patterns work), then the driving video: any video, GIF, folder or pattern of images, "
            "a motion file, - (video from standard input) or camera:NAME.",
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
        ),
    ],
    driving: Annotated[
        list[str] | None,
        typer.Option("--driving", "-d", help="One more driving video; can be repeated."),
    ] = None,
    weights: Weights = None,
    motion: Motion = MotionMode.relative,
    anchor: Anchor = "auto",
    adapt_scale: AdaptScale = True,
    smooth: Annotated[
        float, typer.Option(min=0, max=1, help="Steady the motion, 0 (off) to 1.")
    ] = 0.0,
    crop_source: CropSource = "auto",
    crop_driving: CropDriving = "auto",
    face: SourceFace = None,
    driving_face: DrivingFace = None,
    detector: Detector = DetectorName.auto,
    paste_back: Annotated[
        bool, typer.Option("--paste-back", help="Put the face back into the whole photo.")
    ] = False,
    layout: Annotated[
        LayoutName,
        typer.Option(help="result; side-by-side: source, driver, result; grid: driver, results."),
    ] = LayoutName.result,
    size: Annotated[
        int | None, typer.Option(help="Side of the result in pixels; default: the model's.")
    ] = None,
    start: Start = None,
    end: End = None,
    frames: Frames = None,
    rate: Rate = 25.0,
    raw: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Standard input holds raw rgb24 frames of this size, --rate of them per second.",
        ),
    ] = None,
    sound: Annotated[bool, typer.Option(help="Keep the driver's sound.")] = True,
    track: Annotated[
        int | None,
        typer.Option(
            min=0, help="Which sound track, from 0; default: the one marked so, else the first."
        ),
    ] = None,
    video_track: Annotated[
        int | None,
        typer.Option(min=0, help="Which video track of the driver, from 0; default: as for sound."),
    ] = None,
    codec: Annotated[str | None, typer.Option(help="h264, hevc, vp9, av1, prores or ffv1.")] = None,
    crf: Annotated[int | None, typer.Option(help="Quality of the codec; lower is better.")] = None,
    encoder_preset: Annotated[
        str | None, typer.Option(help="The encoder's own name for its speed.")
    ] = None,
    hardware: Annotated[
        bool,
        typer.Option("--hardware", help="Decode and encode with an NVIDIA GPU (NVDEC, NVENC)."),
    ] = False,
    device: Device = "auto",
    fp16: Fp16 = False,
    bf16: Bf16 = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Frames that are drawn at once.")
    ] = None,
    compiled: Compile = False,
    motion_out: Annotated[
        Path | None, typer.Option(help="Also write the driver's motion (safetensors).")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make portraits move and talk like a driving video."""
    with plain_errors(debug, quiet), progress_bar(quiet) as progress:
        from talkhead.animation.animator import Animator
        from talkhead.animation.settings import RenderSettings
        from talkhead.checkpoint import default_weights
        from talkhead.inference.engine import Engine

        settings = RenderSettings(
            motion=motion.value,
            adapt_scale=adapt_scale,
            anchor=anchor,
            smooth=smooth,
            crop_source=crop_source,
            crop_driving=crop_driving,
            face=face,
            driving_face=driving_face,
            detector=detector.value,
            layout=layout.value,
            paste_back=paste_back,
            size=size,
            start=start,
            end=end,
            frames=frames,
            rate=rate,
            sound=sound,
            track=track,
            video_track=video_track,
            codec=codec,
            crf=crf,
            preset=encoder_preset,
            hardware=hardware,
        )
        sources, drivings = inputs(source, driving or [])
        precision = precision_of(fp16, bf16)
        if is_live(drivings, Path(output)):
            if motion_out is not None:
                raise TalkheadError("the motion of a live driver is not kept; leave --motion-out")
            live = run_live(
                sources, drivings, Path(output),
                Engine.load(weights, device, precision, batch_size or 1, compiled), settings,
                raw=raw, overwrite=overwrite, progress=progress,
            )  # fmt: skip
            show(asdict(live) if as_json else describe_live(live), quiet, aside=output == PIPE)
            return
        if raw is not None:
            raise TalkheadError("--raw describes frames on standard input; give - as the driver")
        check_motion_out(motion_out, drivings)
        jobs = jobs_for(sources, drivings, output, grid=layout is LayoutName.grid)
        with opened(jobs, settings, motion_out, overwrite) as batch:
            batch.check(weights or default_weights())
            engine = Engine.load(weights, device, precision, batch_size, compiled)
            failed = 0
            for job, outcome in batch.run(Animator(engine, progress)):
                failed += isinstance(outcome, str)
                show(facts(job, outcome) if as_json else describe(job, outcome), quiet)
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
    text = f"{report.output}: {report.frames} frames, {report.frames_per_second:.1f} per second"
    if report.resumed:
        text += f", {report.resumed} of them from an interrupted run"
    if report.lost:
        text += f"; the driving face was lost {report.lost} times"
    return text

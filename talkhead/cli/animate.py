"""`talkhead animate`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from glob import escape, glob
from pathlib import Path
from typing import Annotated, Any

import typer

from talkhead.cli.console import AsJson, Debug, Overwrite, Quiet, plain_errors, progress_bar, show
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
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The video to write (.mp4, .mov, .mkv, .webm, .gif, a folder or pattern of PNGs); "
            "a folder when there are several sources or drivings; - (Matroska on standard output).",
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
        from talkhead.animation.paths import check_output
        from talkhead.animation.settings import RenderSettings
        from talkhead.inference.engine import Engine
        from talkhead.motion.template import MOTION_SUFFIX, read_driving

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
        if is_live(drivings, output):
            if motion_out is not None:
                raise TalkheadError("the motion of a live driver is not kept; leave --motion-out")
            live = run_live(
                sources, drivings, output,
                Engine.load(weights, device, precision, batch_size or 1, compiled), settings,
                raw=raw, overwrite=overwrite, progress=progress,
            )  # fmt: skip
            aside = str(output) == PIPE
            show(asdict(live) if as_json else describe_live(live), quiet, aside)
            return
        if raw is not None:
            raise TalkheadError("--raw describes frames on standard input; give - as the driver")
        if motion_out is not None:
            if len(drivings) != 1:
                raise TalkheadError("--motion-out takes the motion of one driver; give only one")
            if motion_out.suffix.lower() != MOTION_SUFFIX:
                raise TalkheadError(f"--motion-out {motion_out}: end its name with {MOTION_SUFFIX}")
            check_output(motion_out, [*sources, *drivings], overwrite)
        jobs = plan(sources, drivings, output, grid=layout is LayoutName.grid)
        for portraits, driver, target in jobs:
            check_output(target, [*portraits, driver], overwrite)
        engine = Engine.load(weights, device, precision, batch_size, compiled)
        render = Animator(engine, progress)
        for portraits, driver, target in jobs:
            report = render(
                portraits,
                read_driving(driver),
                target,
                settings,
                motion_out=motion_out,
                overwrite=overwrite,
            )
            motion_out = None  # the same for all sources, so once is enough
            show(asdict(report) if as_json else describe(report), quiet)


def inputs(positional: list[str], more_drivings: list[str]) -> tuple[list[Path], list[Path]]:
    """Sources and drivings; the last positional argument is a driving video."""
    if len(positional) < 2 and not more_drivings:
        raise typer.BadParameter("give at least one source and a driving video")
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


def plan(
    sources: list[Path], drivings: list[Path], output: Path, grid: bool
) -> list[tuple[list[Path], Path, Path]]:
    """Which sources and driver go into which output file."""
    groups = [sources] if grid else [[source] for source in sources]
    if len(groups) * len(drivings) == 1:
        return [(groups[0], drivings[0], output)]
    if output.suffix and not output.is_dir():
        raise TalkheadError(
            f"{len(groups) * len(drivings)} videos do not fit into {output}; give a folder with -o"
        )
    output.mkdir(parents=True, exist_ok=True)
    jobs = [
        (group, driving, output / f"{group[0].stem}--{driving.stem}.mp4")
        for driving in drivings
        for group in groups
    ]
    if len({target for _, _, target in jobs}) < len(jobs):
        raise TalkheadError("two of the inputs have the same name; rename one of them")
    return jobs


def describe(report: Any) -> str:
    """A render in one line."""
    text = f"{report.output}: {report.frames} frames, {report.frames_per_second:.1f} per second"
    if report.resumed:
        text += f", {report.resumed} of them from an interrupted run"
    if report.lost:
        text += f"; the driving face was lost {report.lost} times"
    return text

"""`talkhead inspect`: the papers' figures for any pair."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from talkhead.cli.console import AsJson, Debug, Overwrite, Quiet, plain_errors, progress_bar, show
from talkhead.cli.options import (
    AdaptScale,
    Anchor,
    CropDriving,
    CropSource,
    Detector,
    DetectorName,
    Device,
    DrivingFace,
    End,
    Frames,
    Motion,
    MotionMode,
    Rate,
    SourceFace,
    Start,
    Weights,
)


class QuestionName(StrEnum):
    keypoints = "keypoints"
    deformation = "deformation"
    candidates = "candidates"
    flow = "flow"
    quantized = "quantized"
    occlusion = "occlusion"
    features = "features"
    codes = "codes"
    memory = "memory"


def inspect(
    source: Annotated[
        Path, typer.Argument(help="The portrait: an image, or a video's first frame.")
    ],
    driving: Annotated[
        Path, typer.Argument(help="The driving video, GIF, folder or pattern of images.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The picture (.png, .jpg) or video to write."),
    ],
    frame: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Which driving frame, from 0; default: the one whose keypoints differ most from "
            "the source's. It also fixes the colour scales of a video.",
        ),
    ] = None,
    only: Annotated[
        list[QuestionName] | None,
        typer.Option(help="One figure instead of the whole sheet; can be repeated."),
    ] = None,
    video: Annotated[
        bool, typer.Option("--video", help="A sheet for every driving frame, as a silent video.")
    ] = False,
    weights: Weights = None,
    motion: Motion = MotionMode.relative,
    anchor: Anchor = "auto",
    adapt_scale: AdaptScale = True,
    crop_source: CropSource = "auto",
    crop_driving: CropDriving = "auto",
    face: SourceFace = None,
    driving_face: DrivingFace = None,
    detector: Detector = DetectorName.auto,
    start: Start = None,
    end: End = None,
    frames: Frames = None,
    rate: Rate = 25.0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw what happens inside the model: keypoints, motion, occlusion, features, codes, memory."""
    with plain_errors(debug, quiet), progress_bar(quiet) as progress:
        from talkhead.animation.settings import RenderSettings
        from talkhead.figures.inspect import inspect as look
        from talkhead.inference.engine import Engine

        settings = RenderSettings(
            motion=motion.value,
            anchor=anchor,
            adapt_scale=adapt_scale,
            crop_source=crop_source,
            crop_driving=crop_driving,
            face=face,
            driving_face=driving_face,
            detector=detector.value,
            start=start,
            end=end,
            frames=frames,
            rate=rate,
        )
        report = look(
            source,
            driving,
            output,
            Engine.load(weights, device),
            settings,
            frame=frame,
            only=[each.value for each in only or []],
            video=video,
            overwrite=overwrite,
            progress=progress,
        )
        show(asdict(report) if as_json else describe(report), quiet)


def describe(report: Any) -> str:
    """What was drawn, in one line."""
    drawn = f"driving frame {report.frame}" if report.frames == 1 else f"{report.frames} frames"
    return f"{report.output}: {', '.join(report.figures)} of {drawn} ({report.family})"

"""Options that several commands share: faces, motion, the driving video, device and precision."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class MotionMode(StrEnum):
    relative = "relative"
    absolute = "absolute"
    avd = "avd"


class DetectorName(StrEnum):
    auto = "auto"
    yunet = "yunet"
    sfd = "sfd"
    blazeface = "blazeface"
    centre = "centre"


Weights = Annotated[
    Path | None, typer.Option("--weights", "-w", help="Weights instead of the bundled ones.")
]
Motion = Annotated[
    MotionMode,
    typer.Option(
        help="relative: the driver's movement; absolute: the driver's pose as well; avd: the "
        "driver's pose on the source's face, by a network that TPSMM weights may hold."
    ),
]
Anchor = Annotated[
    str,
    typer.Option(
        help="The driving frame that relative motion is measured from: auto (closest in pose "
        "to the source), first, or a number from 0."
    ),
]
AdaptScale = Annotated[bool, typer.Option(help="Scale relative motion by the sizes of both faces.")]
CropSource = Annotated[
    str, typer.Option(help="auto (follow the face), none (centred square) or x,y,size.")
]
CropDriving = Annotated[str, typer.Option(help="The same for the driving video.")]
SourceFace = Annotated[
    int | None,
    typer.Option(
        "--face", min=1, help="Which face of the source, from the left; default: the largest."
    ),
]
DrivingFace = Annotated[int | None, typer.Option(min=1, help="Which face of the driving video.")]
Detector = Annotated[
    DetectorName,
    typer.Option(
        help="What finds faces. auto: the bundled networks; yunet, sfd, blazeface: those of "
        "face-alignment, where their weights lie on disk; centre: nothing, the centred square."
    ),
]
Start = Annotated[float | None, typer.Option(min=0, help="Start at this second.")]
End = Annotated[float | None, typer.Option(min=0, help="Stop at this second.")]
Frames = Annotated[int | None, typer.Option(min=1, help="At most so many frames.")]
Rate = Annotated[float, typer.Option(help="Frames per second of a sequence of pictures.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Fp16 = Annotated[bool, typer.Option("--fp16", help="Half precision (GPU).")]
Bf16 = Annotated[bool, typer.Option("--bf16", help="bfloat16 precision.")]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the drawing first: minutes, once per machine and batch size.",
    ),
]


def precision_of(fp16: bool, bf16: bool) -> str:
    """What both flags together say."""
    if fp16 and bf16:
        raise typer.BadParameter("choose one of --fp16 and --bf16")
    return "fp16" if fp16 else "bf16" if bf16 else "fp32"

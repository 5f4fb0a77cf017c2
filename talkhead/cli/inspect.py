"""`talkhead inspect`: the papers' figures for any pair."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from talkhead.animation.settings import RenderSettings
from talkhead.choices import Figure
from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.inference.options import EngineOptions
from talkhead.options import OUTPUT, PICTURE, Index, Option

# Typer repeats enumerations, not literals.
FigureName = StrEnum("FigureName", {name: name for name in get_args(Figure)})  # type: ignore[misc]
NOT_DRAWN = (
    "smooth", "paste_back", "layout", "size", "max_side", "sound", "track", "codec", "crf",
    "preset", "hardware", "precision", "batch_size", "compiled",
)  # fmt: skip


@with_options(without=NOT_DRAWN)
def inspect(
    source: Annotated[
        Path, typer.Argument(help="The portrait: an image, or a video's first frame.")
    ],
    driving: Annotated[
        Path, typer.Argument(help="The driving video, GIF, folder or pattern of images.")
    ],
    output: Annotated[
        Path,
        Option("The picture (.png, .jpg) or video to write.", OUTPUT, ("--output", "-o")),
    ],
    settings: RenderSettings,
    engine: EngineOptions,
    console: ConsoleOptions,
    frame: Annotated[
        Index | None,
        Option(
            "Driving frame, from 0. Default: the one whose keypoints differ most from the "
            "source's. It also fixes the colour scales of a video.",
            PICTURE,
        ),
    ] = None,
    only: Annotated[
        tuple[FigureName, ...],
        Option("One figure instead of the whole sheet. Can be repeated.", PICTURE),
    ] = (),
    video: Annotated[
        bool, Option("A sheet for every driving frame, as a silent video.", PICTURE)
    ] = False,
) -> None:
    """Draw what happens inside the model: keypoints, motion, occlusion, features, codes, memory."""
    with console.running() as progress:
        from talkhead.figures.inspect import inspect as look

        report = look(
            source,
            driving,
            output,
            engine.load(),
            settings,
            frame=frame,
            only=[each.value for each in only],
            video=video,
            overwrite=console.overwrite,
            progress=progress,
        )
        console.show(asdict(report), describe(report))


def describe(report: Any) -> str:
    """What was drawn, in one line."""
    drawn = f"driving frame {report.frame}" if report.frames == 1 else f"{report.frames} frames"
    return f"{report.output}: {', '.join(report.figures)} of {drawn} ({report.family})"

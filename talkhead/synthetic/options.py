"""The options of synthetic data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from talkhead.choices import USUAL_RATE
from talkhead.options import DATA, DEVICE, OUTPUT, PICTURE, Count, Index, Option, Options
from talkhead.schema import Range


@dataclass(frozen=True)
class SynthOptions(Options):
    """How many clips of synthetic talking heads to render, and how.

    Raises TalkheadError for values beyond their bounds.
    """

    output: Annotated[Path, Option("Folder for train/ and test/.", OUTPUT, ("--output", "-o"))]
    identities: Annotated[Count, Option("Number of people.", DATA)] = 16
    clips: Annotated[Count, Option("Number of clips of each.", DATA)] = 2
    seconds: Annotated[
        Annotated[float, Range(0.1, 86_400)], Option("Length of each clip.", DATA)
    ] = 4.0
    rate: Annotated[Annotated[int, Range(1, 240)], Option("Frames per second.", PICTURE)] = (
        USUAL_RATE
    )
    size: Annotated[
        Annotated[int, Range(32, 4096)], Option("Side of the pictures in pixels.", PICTURE)
    ] = 256
    seed: Annotated[Index, Option("Random seed.", DATA)] = 0
    workers: Annotated[Count, Option("Number of processes.", DEVICE)] = 1
    landmarks: Annotated[
        bool,
        Option("Also find their landmarks, as `train --landmarks auto` does.", DATA),
    ] = False
    overwrite: bool = False

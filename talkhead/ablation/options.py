"""The options of an ablation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from talkhead.choices import AblationTable
from talkhead.options import DATA, DEVICE, LEARNING, OUTPUT, Count, Option, Options


@dataclass(frozen=True)
class AblationOptions(Options):
    """Which table, trained on what and for how long.

    seeds: differences smaller than those between seeds mean nothing.

    Raises TalkheadError for values beyond their bounds.
    """

    table: AblationTable = "codebook"
    output: Annotated[
        Path, Option("Folder. What is in it is used again.", OUTPUT, ("--output", "-o"))
    ] = Path("ablation")
    data: Annotated[
        Path | None,
        Option("Clips with train/ and test/. Default: synthetic heads are rendered.", DATA),
    ] = None
    steps: Annotated[Count, Option("Training steps of each row.", LEARNING)] = 400
    batch_size: Annotated[Count, Option("Pairs per step.", LEARNING)] = 8
    seeds: Annotated[Count, Option("Number of trainings of each row.", LEARNING)] = 1
    every: Annotated[Count, Option("Score every Nth frame.", DATA)] = 5
    device: Annotated[str, Option("auto, cpu, cuda or cuda:N.", DEVICE)] = "auto"
    quiet: bool = False

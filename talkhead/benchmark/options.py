"""The options of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from talkhead.inference.options import DeviceOptions
from talkhead.options import DEVICE, MODEL, SCORES, Count, Index, Option
from talkhead.schema import Range

Frames = Annotated[int, Range(2, 1_000_000)]


@dataclass(frozen=True)
class BenchmarkOptions(DeviceOptions):
    """What to measure, and how thoroughly.

    batch_sizes: the best one is used for the stages. compiled: the stages are measured without.

    Raises TalkheadError for values beyond their bounds.
    """

    model: Annotated[
        str | None,
        Option(
            "An untrained preset, or none: all but the model. Default: the bundled weights.", MODEL
        ),
    ] = None
    weights: Annotated[
        Path | None, Option("Weights instead of the bundled ones.", MODEL, ("--weights", "-w"))
    ] = None
    batch_sizes: Annotated[
        tuple[Count, ...] | None, Option("Frames per batch to try.", DEVICE, metavar="N,N,...")
    ] = None
    frames: Annotated[
        Frames | None, Option("Length of the driving video. Default: what suits.", SCORES)
    ] = None
    loop_frames: Annotated[
        Index | None,
        Option("Frames of it for the published loop; 0 leaves that out.", SCORES),
    ] = None
    sizes: Annotated[
        tuple[int, ...],
        Option("More image sizes to measure the model at.", SCORES, metavar="N,N,..."),
    ] = ()
    lengths: Annotated[
        tuple[int, ...],
        Option("Driving lengths in frames to compare peak memory.", SCORES, metavar="N,N,..."),
    ] = ()
    compiled: Annotated[
        bool, Option("Compile the model first: takes minutes.", DEVICE, ("--compile",))
    ] = False
    quick: Annotated[
        bool,
        Option("Check only that all of it runs; the figures mean nothing.", SCORES),
    ] = False

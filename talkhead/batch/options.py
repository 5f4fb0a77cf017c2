"""The options of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from talkhead.choices import BatchEngine
from talkhead.errors import TalkheadError
from talkhead.inference.options import EngineOptions
from talkhead.options import DEVICE, OUTPUT, Count, Option


@dataclass(frozen=True, kw_only=True)
class BatchOptions(EngineOptions):
    """Where the rows of a batch are rendered, and which of them.

    weights: those of rows that name none. device: auto and cuda stand for all that there are.

    Raises TalkheadError for values beyond their bounds, and for those that contradict each other.
    """

    engine: Annotated[
        BatchEngine,
        Option("process: this one, on all its devices. ray: the workers of a Ray cluster.", DEVICE),
    ] = "process"
    address: Annotated[
        str | None,
        Option(
            "Ray cluster to use: auto (the one that runs here), HOST:PORT or ray://HOST:PORT. "
            "Default: one on this machine, for this batch.",
            DEVICE,
        ),
    ] = None
    workers: Annotated[
        Count | None,
        Option("Number of workers. Default: one per GPU; without GPUs, one per machine.", DEVICE),
    ] = None
    retry: Annotated[
        Literal["failed"] | None, Option("Also run rows again that have failed before.", OUTPUT)
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is not None and self.engine != "ray":
            raise TalkheadError("--address is that of a Ray cluster; add --engine ray")

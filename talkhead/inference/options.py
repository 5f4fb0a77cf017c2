"""Which weights are used, and where they run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from talkhead.choices import Precision
from talkhead.options import DEVICE, Count, Option, Options

if TYPE_CHECKING:
    from talkhead.inference.engine import Engine


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Options):
    """Where networks run, and how exactly."""

    device: Annotated[str, Option("auto, cpu, cuda, cuda:N or mps.", DEVICE)] = "auto"
    precision: Annotated[
        Precision, Option("Precision of the model", DEVICE, ("--fp16", "--bf16"), switches=True)
    ] = "fp32"


@dataclass(frozen=True, kw_only=True)
class EngineOptions(DeviceOptions):
    """Which weights are used, and where they run."""

    weights: Annotated[
        Path | None, Option("Weights instead of the bundled ones.", DEVICE, ("--weights", "-w"))
    ] = None
    batch_size: Annotated[
        Count | None, Option("Frames per batch. Default: what suits the device.", DEVICE)
    ] = None
    compiled: Annotated[
        bool,
        Option("Compile the model first: minutes, for long videos on a GPU.", DEVICE,
               ("--compile",)),
    ] = False  # fmt: skip

    def load(self, batch_size: int | None = None) -> Engine:
        """The engine; batch_size: where none is asked for."""
        from talkhead.inference.engine import Engine

        size = self.batch_size or batch_size
        return Engine.load(self.weights, self.device, self.precision, size, self.compiled)

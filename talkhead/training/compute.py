"""Device, precision and compilation of a training run."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Compute:
    """Where and how a step is computed.

    precision: of autocast; float32: none. parts: the batch is learned in so many pieces.
    """

    device: torch.device
    precision: torch.dtype = torch.float32
    compile: bool = False
    parts: int = 1

    def autocast(self) -> torch.autocast:
        """A context in which networks run in that precision."""
        half = self.precision is not torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=half)

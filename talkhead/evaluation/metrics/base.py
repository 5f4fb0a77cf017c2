"""The interface of metrics: a batch of frames in, values per frame out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class FrameBatch:
    """Results of one case, a batch: pictures uint8, S the picture size.

    source: (S, S, 3); driving, results: (N, S, S, 3); clip, numbers: which driving frames.
    anchor: (S, S, 3), the frame that relative motion was measured from; None: absolute motion.
    """

    source: np.ndarray
    anchor: np.ndarray | None
    driving: np.ndarray
    results: np.ndarray
    clip: Path
    numbers: tuple[int, ...]


class MetricBackend(Protocol):
    """Gives every result a value per metric, NaN where it cannot be measured."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names out of `METRICS`."""
        ...

    @property
    def key(self) -> str:
        """Changes when the values would, so that stored scores are not mixed up."""
        ...

    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        """Float arrays (N,) by metric."""
        ...

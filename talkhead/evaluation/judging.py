"""What a judge is given and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Shots:
    """Results of one case, a batch: pictures uint8, S the picture size.

    source: (S, S, 3); driving, results: (N, S, S, 3); clip, numbers: which driving frames.
    """

    source: np.ndarray
    driving: np.ndarray
    results: np.ndarray
    clip: Path
    numbers: tuple[int, ...]


class Judge(Protocol):
    """Gives every result a value per metric, NaN where it cannot judge.

    metrics: names out of `METRICS`. key: changes when the values would, so that stored scores are
    not mixed up.
    """

    metrics: tuple[str, ...]
    key: str

    def __call__(self, shots: Shots) -> dict[str, np.ndarray]:
        """Float arrays (N,) by metric."""
        ...

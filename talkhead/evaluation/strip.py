"""The picture of a case: the frame in which most moves, beside source and driver."""

from __future__ import annotations

import numpy as np

from talkhead.evaluation.metrics.base import FrameBatch


class Strip:
    """Keeps the frame of a case whose driver has moved furthest: the same for all methods.

    frame: its number.
    """

    def __init__(self, truth: bool) -> None:
        self.frame = 0
        self._truth = truth
        self._start: np.ndarray | None = None
        self._most = -1.0
        self._cells: list[np.ndarray] = []

    def update(self, batch: FrameBatch) -> None:
        """Look at the next batch."""
        if self._start is None:
            self._start = (batch.source if self._truth else batch.driving[0]).astype(np.int16)
        for number, driving, result in zip(
            batch.numbers, batch.driving, batch.results, strict=True
        ):
            if (amount := float(np.abs(driving - self._start).mean())) > self._most:
                self._most, self.frame = amount, number
                self._cells = [batch.source, driving, result]
                if self._truth:
                    difference = np.abs(driving.astype(np.int16) - result)
                    self._cells.append(np.minimum(3 * difference, 255).astype(np.uint8))

    def picture(self) -> np.ndarray:
        """Source, driving, result and, with a truth, three times the difference, in a row."""
        return np.concatenate(self._cells, axis=1)

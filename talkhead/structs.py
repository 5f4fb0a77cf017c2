"""The data that flows through talkhead. Frozen: made once, read everywhere.

Letters for shapes, the same in every file: B batch, K keypoints, C channels, H W image,
h w feature map, N codes, T tokens, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """One decoded picture and when it is shown.

    rgb:       uint8 (H, W, 3), upright, full range.
    pts:       presentation time in units of `time_base`.
    time_base: seconds per unit.
    """

    rgb: np.ndarray
    pts: int
    time_base: Fraction

    @property
    def seconds(self) -> float:
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class Crop:
    """A square of a frame: top left corner and side, in frame pixels (may stick out of the frame)."""

    x: float
    y: float
    side: float


@dataclass(frozen=True)
class Keypoints:
    """Where a face's parts are, and how each neighbourhood is tilted.

    value:    (B, K, 2), x then y, -1 and 1 at the centres of the border pixels.
    jacobian: (B, K, 2, 2), or None for families that do not estimate it.
    """

    value: Tensor
    jacobian: Tensor | None = None

    def __len__(self) -> int:
        return self.value.shape[0]

    def __getitem__(self, items: slice) -> Keypoints:
        """A part of the batch."""
        return self.map(lambda tensor: tensor[items])

    def map(self, change: Callable[[Tensor], Tensor]) -> Keypoints:
        """Apply one function to the value and, where there is one, to the jacobian."""
        return Keypoints(
            change(self.value), None if self.jacobian is None else change(self.jacobian)
        )

    def expand(self, batch: int) -> Keypoints:
        """Repeat a batch of one, without copying."""
        return self.map(lambda tensor: tensor.expand(batch, *tensor.shape[1:]))

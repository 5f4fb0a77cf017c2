"""Numbers to colours: flows, shares, signed values, features, codes. All uint8 RGB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

GOLDEN = 0.61803398875  # steps of this on the colour wheel never come close to an earlier one soon
MAX_POSITIONS = 4096  # of a feature map, enough to find its main directions


def flow_colours(movement: np.ndarray, full: float) -> np.ndarray:
    """Colour a movement (h, w, 2): hue is its direction, full colour `full` or more, white none.

    Right is red, down is green-yellow, left is cyan, up is violet: angles clockwise from the right.
    """
    x, y = movement[..., 0], movement[..., 1]
    hue = np.degrees(np.arctan2(y, x)) % 360
    strength = np.minimum(np.hypot(x, y) / full, 1)
    return _from_hsv(hue, strength, np.ones_like(hue))


def wheel(side: int) -> np.ndarray:
    """The key to `flow_colours`: every direction, from no movement in the middle to full colour."""
    line = np.linspace(-1, 1, side)
    x, y = np.meshgrid(line, line)
    colours = flow_colours(np.stack([x, y], axis=-1), full=1.0)
    colours[np.hypot(x, y) > 1] = 255
    return colours


def shares(values: np.ndarray, full: float = 1.0) -> np.ndarray:
    """0 dark violet, `full` or more yellow (Viridis)."""
    levels = np.clip(values / full * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def greys(values: np.ndarray) -> np.ndarray:
    """0 black, 1 white."""
    levels = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=-1)


def signed(values: np.ndarray, full: float) -> np.ndarray:
    """-`full` or less blue, 0 white, `full` or more red."""
    share = np.clip(values / full, -1, 1)[..., None]
    red, blue = np.array([178, 24, 43.0]), np.array([33, 102, 172.0])
    colours = 255 + np.maximum(share, 0) * (red - 255) + np.maximum(-share, 0) * (blue - 255)
    return np.rint(colours).astype(np.uint8)


def distinct(number: int) -> tuple[int, int, int]:
    """A strong colour for a number, unlike those of its neighbours."""
    hue = np.array([[number * GOLDEN % 1 * 360]])
    pixel = _from_hsv(hue, np.full((1, 1), 0.85), np.full((1, 1), 0.95))[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


def code_colours(indices: np.ndarray) -> np.ndarray:
    """Every code its own colour: (h, w) of ints -> (h, w, 3)."""
    hue = indices * GOLDEN % 1 * 360
    value = 0.55 + 0.45 * (indices * GOLDEN * GOLDEN % 1)
    return _from_hsv(hue, np.full(indices.shape, 0.7), value)


def _from_hsv(hue: np.ndarray, strength: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Hue in degrees, the others in [0, 1]."""
    hsv = np.stack([hue, strength, value], axis=-1).astype(np.float32)
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


@dataclass(frozen=True)
class Basis:
    """Three directions in which features vary most, shown as red, green and blue.

    Kept from one map to the next, so that one colour always means one thing.
    mean: (C,); axes: (C, 3); low, high: (3,), projections shown as black and as full colour.
    """

    mean: np.ndarray
    axes: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, maps: Sequence[np.ndarray]) -> Basis:
        """Fit to feature maps (C, h, w) together."""
        parts = [each.reshape(len(each), -1) for each in maps]
        rows = np.concatenate([part[:, :: -(-part.shape[1] // MAX_POSITIONS)] for part in parts], 1)
        rows = rows.T.astype(np.float64)
        mean = rows.mean(0)
        _, vectors = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
        axes = vectors[:, :-4:-1]
        axes = np.pad(axes, ((0, 0), (0, 3 - axes.shape[1])))
        low, high = np.percentile((rows - mean) @ axes, (1, 99), axis=0)
        return cls(mean, axes, low, np.maximum(high, low + 1e-9))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Colour one map (C, h, w)."""
        projected = (np.moveaxis(features, 0, -1) - self.mean) @ self.axes
        levels = (projected - self.low) / (self.high - self.low)
        return np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)

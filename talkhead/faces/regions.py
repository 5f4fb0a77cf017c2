"""Square regions of a picture that networks look at: cut out, and their points put back.

Pixels are areas: x = 0 is the left edge of the first pixel, whose centre is at 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from talkhead.faces.crop import rotation
from talkhead.topology import OUTER_EYE_CORNERS, SKIN_POINTS

MARGIN = 1.5  # side of the region that a mesh looks at, over the longer side of the face's box
SHARPEST = 2.0  # input pixels per output pixel that bilinear sampling alone may skip between


@dataclass(frozen=True)
class Region:
    """A square: centre, side in pixels, and the angle (radians, clockwise) of its x axis."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @property
    def axes(self) -> np.ndarray:
        """(2, 2): its x and y axes as columns, of length 1."""
        return rotation(self.angle)

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in it."""
        along = self.axes.T @ np.array([x - self.x, y - self.y])
        return bool((np.abs(along) <= self.side / 2).all())

    def scaled(self, factor: float) -> Region:
        """The same in a picture `factor` times as large."""
        return Region(self.x * factor, self.y * factor, self.side * factor, self.angle)

    def cut(self, rgb: np.ndarray, size: int, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
        """What it shows of rgb uint8 (H, W, 3), at (size, size, 3).

        Bilinear, from a copy averaged down where it shrinks by much. As MediaPipe samples, to the
        fraction of a pixel: output pixel i shows what lies at i / size of the side, where pixels of
        the picture are counted from the centre of the first. border: OpenCV's word for what lies
        outside of the picture.
        """
        scale, corner = np.ones(2), np.zeros(2)
        if self.side > SHARPEST * size:
            rgb, scale, corner = self._shrunk(rgb, 1.5 * size / self.side)
        matrix = scale[:, None] * self.axes * (self.side / size)
        centre = scale * (np.array([self.x, self.y]) - corner)
        offset = centre - matrix @ np.full(2, size / 2)
        found: np.ndarray = cv2.warpAffine(
            rgb,
            np.column_stack([matrix, offset]),
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=border,
        )
        return found

    def _shrunk(self, rgb: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture around it averaged down, the exact scale (x, y), and its corner (x, y)."""
        reach = 0.75 * self.side  # more than half a diagonal
        height, width = rgb.shape[:2]
        x0 = min(max(int(self.x - reach), 0), width - 1)
        y0 = min(max(int(self.y - reach), 0), height - 1)
        x1 = max(min(math.ceil(self.x + reach), width), x0 + 1)
        y1 = max(min(math.ceil(self.y + reach), height), y0 + 1)
        size = max(1, round((x1 - x0) * factor)), max(1, round((y1 - y0) * factor))
        small = cv2.resize(rgb[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
        return small, np.array(size) / (x1 - x0, y1 - y0), np.array([x0, y0])

    def to_picture(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points (..., 2 or 3) in pixels of its cut of `size` as pixels of the picture."""
        found = points * (self.side / size)
        found[..., :2] = (found[..., :2] - self.side / 2) @ self.axes.T + (self.x, self.y)
        return found


def whole_picture(rgb: np.ndarray) -> Region:
    """The smallest square around a picture."""
    height, width = rgb.shape[:2]
    return Region(width / 2, height / 2, max(width, height))


def region_of_points(points: np.ndarray) -> Region:
    """Where a mesh looks for a face whose points (n, 2 or 3) are known: turned by the eyes."""
    xy = points[:SKIN_POINTS, :2]
    low, high = xy.min(axis=0), xy.max(axis=0)
    (x, y), side = (low + high) / 2, MARGIN * (high - low).max()
    left, right = OUTER_EYE_CORNERS
    dx, dy = points[right, :2] - points[left, :2]
    return Region(float(x), float(y), float(side), math.atan2(dy, dx))

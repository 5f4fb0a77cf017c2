"""Rasterise triangles: which triangle each pixel shows, and interpolated attributes.

A painter's algorithm on OpenCV's polygon fill: triangles are drawn far to near into a picture of
triangle numbers. Every attribute (texture place, shade, position in another frame) is then a plane
over its triangle, so one look-up per pixel and one multiply-add give it, for any attribute, later.
"""

from __future__ import annotations

import cv2
import numpy as np

_SHIFT = 4  # sub-pixel bits of the polygon fill
_SLIVER = 1.0  # pixels^4: below this squared area a triangle's attributes flatten to their mean


def signed_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Twice the area of each triangle, positive where it runs clockwise on screen (y down).

    points: (V, 2) pixels; triangles: (T, 3) vertex numbers.
    """
    first, second, third = (points[triangles[:, corner]] for corner in range(3))
    along, across = second - first, third - first
    return along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]


def draw(
    points: np.ndarray, triangles: np.ndarray, order: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Fill triangles in the given order; returns int32 (height, width), -1 where none is.

    points: (V, 2) pixels, centre of the first pixel 0.5; order: triangle numbers, far to near.
    """
    numbers = np.full((height, width), -1, np.int32)
    fixed = np.round((points - 0.5) * (1 << _SHIFT)).astype(np.int32)
    corners = fixed[triangles[order]]
    outside = (corners.max(1) < 0).any(1) | (corners.min(1) > (max(height, width) << _SHIFT)).any(1)
    fill = cv2.fillConvexPoly
    kept = order[~outside]
    for number, corner in zip(kept.tolist(), corners[~outside], strict=True):
        fill(numbers, corner, number, cv2.LINE_8, _SHIFT)
    return numbers


def planes(points: np.ndarray, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Each attribute as a plane over each triangle: value = gx * x + gy * y + c.

    points: (V, 2); values: (V, A). Returns float32 (A, 3, T).
    """
    corners, attributes = points[triangles], values[triangles]
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
    inverse = (area / (area * area + _SLIVER))[:, None]
    rise_along = attributes[:, 1] - attributes[:, 0]
    rise_across = attributes[:, 2] - attributes[:, 0]
    slope_x = (rise_along * across[:, 1:] - rise_across * along[:, 1:]) * inverse
    slope_y = (rise_across * along[:, :1] - rise_along * across[:, :1]) * inverse
    centre = corners.mean(1)
    level = attributes.mean(1) - slope_x * centre[:, :1] - slope_y * centre[:, 1:]
    return np.ascontiguousarray(np.stack([slope_x, slope_y, level]).transpose(2, 0, 1), np.float32)


def sample(plane: np.ndarray, numbers: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Evaluate attributes (A, 3, T) at pixels showing triangles `numbers` (N,); returns (A, N)."""
    found = np.empty((len(plane), len(numbers)), np.float32)
    for row, (slope_x, slope_y, level) in zip(found, plane, strict=True):
        np.multiply(slope_x[numbers], x, out=row)
        row += slope_y[numbers] * y
        row += level[numbers]
    return found

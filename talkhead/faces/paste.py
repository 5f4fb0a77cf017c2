"""Pasting an animated crop back into its photo."""

from __future__ import annotations

import numpy as np

from talkhead.faces.crop import resize, whole_pixels
from talkhead.structs import Crop


class Paster:
    """Puts a moving face back into a still photo, behind a soft mask.

    What does not change (the mask, the photo behind it) is computed once; every call blends only
    the crop's part of the photo. Outside of the mask the photo's pixels are untouched.

    photo: rgb uint8 (H, W, 3); crop: where the face was cut from.
    """

    def __init__(self, photo: np.ndarray, crop: Crop) -> None:
        self._photo = photo
        left, top, self._side = whole_pixels(crop)
        height, width = photo.shape[:2]
        rows = slice(max(top, 0), min(top + self._side, height))
        columns = slice(max(left, 0), min(left + self._side, width))
        self._place = (rows, columns)
        self._part = (  # the same, seen from the crop
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        self._mask = soft_mask(self._side)[self._part][..., None]
        self._behind = (1 - self._mask) * photo[self._place]

    def __call__(self, face: np.ndarray) -> np.ndarray:
        """Photo (H, W, 3) with `face` uint8 (size, size, 3) in it; a new array."""
        part = resize(face, self._side)[self._part]
        result = self._photo.copy()
        result[self._place] = np.rint(self._mask * part + self._behind).astype(np.uint8)
        return result


def soft_mask(side: int, border: float = 0.12, corner: float = 0.3) -> np.ndarray:
    """float32 (side, side): 0 at the border, 1 in the middle, a square with round corners.

    It rises smoothly (3t^2 - 2t^3) over `border` * side pixels; `corner` * side is the radius.
    """
    offsets = np.abs((np.arange(side) + 0.5) / side - 0.5) - (0.5 - corner)
    x, y = np.meshgrid(offsets, offsets)
    # How far inside the rounded square: its corner centre is the origin of x and y.
    outside = np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + np.minimum(np.maximum(x, y), 0)
    rise = np.clip((corner - outside - 1 / side) / border, 0, 1)
    return (rise * rise * (3 - 2 * rise)).astype(np.float32)

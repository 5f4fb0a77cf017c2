"""Pasting an animated crop back into its photo."""

from __future__ import annotations

import math

import cv2
import numpy as np

from talkhead.faces.crop import _rotation, resize, whole_pixels
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
        self._angle = crop.angle
        mask = self._place_in_photo(soft_mask(self._side))
        room = (mask.shape[0] - self._side) // 2  # around a turned crop
        left, top, side = left - room, top - room, mask.shape[0]
        height, width = photo.shape[:2]
        rows = slice(max(top, 0), min(top + side, height))
        columns = slice(max(left, 0), min(left + side, width))
        self._place = (rows, columns)
        self._part = (  # the same, seen from the crop
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        self._mask = mask[self._part][..., None]
        self._behind = (1 - self._mask) * photo[self._place]

    def __call__(self, face: np.ndarray) -> np.ndarray:
        """Photo (H, W, 3) with `face` uint8 (size, size, 3) in it; a new array."""
        part = self._place_in_photo(resize(face, self._side))[self._part]
        result = self._photo.copy()
        result[self._place] = np.rint(self._mask * part + self._behind).astype(np.uint8)
        return result

    def _place_in_photo(self, square: np.ndarray) -> np.ndarray:
        """A square of the crop's side as it lies in the photo: turned, in the square around it."""
        if not self._angle:
            return square
        rotation = _rotation(-self._angle)
        reach = self._side * np.abs(rotation[0]).sum()
        side = self._side + 2 * math.ceil((reach - self._side) / 2)
        shift = np.full(2, (self._side - 1) / 2) - rotation @ np.full(2, (side - 1) / 2)
        turned: np.ndarray = cv2.warpAffine(
            square,
            np.column_stack([rotation, shift]),
            (side, side),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        return turned


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

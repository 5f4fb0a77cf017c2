"""Square crops: read them, cut them out of a frame, paste them back.

Crops are in frame pixels: x = 0 is the left edge of the first pixel, whose centre is at 0.5.
"""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np

from talkhead.errors import TalkheadError
from talkhead.structs import Crop

LARGEST = 8  # frame sides that a crop may have


def centre_square(width: int, height: int) -> Crop:
    """The largest centred square of a frame: what `--crop-... none` means."""
    side = min(width, height)
    return Crop((width - side) // 2, (height - side) // 2, side)


def parse_crop(text: str) -> Crop | Literal["auto", "none"]:
    """Read `auto`, `none` (the largest centred square, nothing is squeezed) or `x,y,size`."""
    word = text.strip().lower()
    if word in ("auto", "none"):
        return "auto" if word == "auto" else "none"
    try:
        x, y, side = (float(part) for part in word.split(","))
    except ValueError as error:
        raise TalkheadError(
            f"'{text}' is no crop; write auto, none or x,y,size in pixels, such as 120,40,512"
        ) from error
    if not all(math.isfinite(v) for v in (x, y, side)) or side < 16:
        raise TalkheadError(f"the crop '{text}' is too small; its size must be 16 pixels or more")
    return Crop(x, y, side)


def cut(rgb: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """Cut a square out of rgb uint8 (H, W, 3) and resize it; returns uint8 (size, size, 3).

    The crop is rounded to whole pixels. Pixels are areas: output pixel i covers the frame from
    x + i * side / size to x + (i + 1) * side / size, so that nothing shifts. Shrinking averages
    these areas, enlarging is bicubic. Outside of the frame its edge pixels are repeated, since
    black bars are hard edges, which the networks take for a part of the picture.

    Raises TalkheadError when crop and frame have nothing in common, or next to nothing.
    """
    left, top, side = whole_pixels(crop)
    height, width = rgb.shape[:2]
    x0, x1, y0, y1 = max(left, 0), min(left + side, width), max(top, 0), min(top + side, height)
    if x0 >= x1 or y0 >= y1:
        raise TalkheadError(
            f"the crop {left},{top},{side} lies outside of the frame ({width}x{height})"
        )
    if side > LARGEST * max(width, height):
        raise TalkheadError(
            f"the crop {left},{top},{side} is more than {LARGEST} times as large as the frame "
            f"({width}x{height})"
        )
    part = rgb[y0:y1, x0:x1]
    if part.shape[:2] != (side, side):
        part = cv2.copyMakeBorder(
            part, y0 - top, top + side - y1, x0 - left, left + side - x1, cv2.BORDER_REPLICATE
        )
    return np.ascontiguousarray(resize(part, size))


def cut_centre(rgb: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of rgb uint8 (H, W, 3), resized; uint8 (size, size, 3)."""
    return cut(rgb, centre_square(rgb.shape[1], rgb.shape[0]), size)


def whole_pixels(crop: Crop) -> tuple[int, int, int]:
    """Left, top and side of a crop, rounded to whole pixels."""
    return round(crop.x), round(crop.y), max(1, round(crop.side))


def resize(square: np.ndarray, size: int) -> np.ndarray:
    """A square picture at another side: averaged when it shrinks, bicubic when it grows."""
    if square.shape[0] == size:
        return square
    shrinking = square.shape[0] > size
    return cv2.resize(
        square, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    )


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

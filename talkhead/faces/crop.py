"""Square crops: read them, place them, cut them out of a frame.

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

    A crop with an angle is sampled bicubically, from several points per pixel where it shrinks.

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
    if crop.angle:
        return _cut_turned(rgb, crop, size)
    part = rgb[y0:y1, x0:x1]
    if part.shape[:2] != (side, side):
        part = cv2.copyMakeBorder(
            part, y0 - top, top + side - y1, x0 - left, left + side - x1, cv2.BORDER_REPLICATE
        )
    return np.ascontiguousarray(resize(part, size))


def _cut_turned(rgb: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    left, top, side = whole_pixels(crop)
    fine = size * min(max(1, math.ceil(side / size)), LARGEST)
    matrix = rotation(math.radians(crop.angle)) * (side / fine)
    # OpenCV counts from the centres of pixels.
    shift = np.array([left, top]) + side / 2 - 0.5 - matrix @ np.full(2, (fine - 1) / 2)
    square = cv2.warpAffine(
        rgb,
        np.column_stack([matrix, shift]),
        (fine, fine),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.ascontiguousarray(resize(square, size))


def rotation(angle: float) -> np.ndarray:
    """(2, 2), by radians clockwise in a picture; its columns are the turned axes."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def cut_centre(rgb: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of rgb uint8 (H, W, 3), resized; uint8 (size, size, 3)."""
    return cut(rgb, centre_square(rgb.shape[1], rgb.shape[0]), size)


def whole_pixels(crop: Crop) -> tuple[int, int, int]:
    """Left, top and side of a crop, rounded to whole pixels."""
    return round(crop.x), round(crop.y), max(1, round(crop.side))


def shrink(picture: np.ndarray, side: float) -> tuple[np.ndarray, float]:
    """A picture with its longer side at most `side`, and its size relative to the original."""
    height, width = picture.shape[:2]
    factor = min(1.0, side / max(height, width))
    if factor == 1:
        return picture, 1.0
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), factor


def resize(square: np.ndarray, size: int) -> np.ndarray:
    """A square picture at another side: averaged when it shrinks, bicubic when it grows."""
    if square.shape[0] == size:
        return square
    shrinking = square.shape[0] > size
    return cv2.resize(
        square, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    )

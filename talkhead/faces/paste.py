"""A moving face back in its photo: which square of the photo changes, and putting it in place."""

from __future__ import annotations

import math

import cv2
import numpy as np

from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut, whole_pixels
from talkhead.structs import Crop, PhotoWindow


class Paster:
    """Puts drawn squares into a still photo; all other pixels stay as they are.

    photo: rgb uint8 (H, W, 3). crop: where the face was cut from. largest: side in pixels that the
    square may have at most, or TalkheadError.
    """

    def __init__(self, photo: np.ndarray, crop: Crop, largest: int) -> None:
        self._photo = photo
        self._crop = crop
        left, top, side = whole_pixels(crop)
        turn = math.radians(crop.angle)
        reach = side * (abs(math.cos(turn)) + abs(math.sin(turn)))
        room = math.ceil((reach - side) / 2 - 1e-6)  # around a turned crop
        self._left, self._top, self._side = left - room, top - room, side + 2 * room
        if self._side > largest:
            raise TalkheadError(
                f"the crop of the face is {self._side} pixels wide, too large to be pasted back "
                f"(at most {largest}); give a smaller --max-side or --crop-source"
            )
        height, width = photo.shape[:2]
        rows = slice(max(self._top, 0), min(self._top + self._side, height))
        columns = slice(max(self._left, 0), min(self._left + self._side, width))
        self._place = (rows, columns)
        self._part = (  # the same, seen from the square
            slice(rows.start - self._top, rows.stop - self._top),
            slice(columns.start - self._left, columns.stop - self._left),
        )

    def window(self, size: int, points: np.ndarray | None = None) -> PhotoWindow:
        """The square of the photo that is drawn into, for a crop that was drawn at `size`.

        points: of the face's mesh (N, 2 or more), x and y in pixels of the photo.
        """
        left, top, side = whole_pixels(self._crop)
        height, width = self._photo.shape[:2]
        ends = (left > 0, top > 0, left + side < width, top + side < height)
        face = None if points is None else face_mask(points, self._crop, size)
        square = cut(self._photo, Crop(self._left, self._top, self._side), self._side)
        goes_on = (True,) * 4 if self._crop.angle else ends
        return PhotoWindow(square, side, self._crop.angle, goes_on, face)

    def __call__(self, square: np.ndarray) -> np.ndarray:
        """The photo (H, W, 3) with a square as large as the window in it; a new array."""
        result = self._photo.copy()
        result[self._place] = square[self._part]
        return result


def face_mask(points: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """float32 (size, size): 1 inside the outline of a face in a crop's picture, soft at its rim."""
    left, top, side = whole_pixels(crop)
    turn = math.radians(crop.angle)
    x, y = (points[:, :2] - (left + side / 2, top + side / 2)).T
    upright = np.stack(
        [x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)], axis=1
    )
    outline = cv2.convexHull(((upright / side + 0.5) * size).astype(np.float32))
    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, np.rint(outline).astype(np.int32), 1.0)
    softness = max(1, size // 32)
    grown: np.ndarray = cv2.dilate(mask, np.ones((softness * 2 + 1,) * 2, np.uint8))
    return cv2.blur(grown, (softness * 2 + 1,) * 2)


def fit_photo(photo: np.ndarray, max_side: int) -> np.ndarray:
    """A photo with no side longer than `max_side`, and even sides, as video has them."""
    height, width = photo.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale == 1:
        return photo[: height - height % 2, : width - width % 2]
    size = [max(2, int(side * scale + 0.5) // 2 * 2) for side in (width, height)]
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)

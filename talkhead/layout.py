"""What one frame of the output shows: the result alone, beside its inputs, or in the photo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

Layout = Literal["result", "side-by-side", "grid"]


def resize(picture: np.ndarray, side: int) -> np.ndarray:
    """A square picture at another side, averaged when it shrinks."""
    if picture.shape[0] == side:
        return picture
    shrinking = picture.shape[0] > side
    return cv2.resize(
        picture, (side, side), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    )


def arrange(
    layout: Layout,
    sources: Sequence[np.ndarray],
    driving: np.ndarray | None,
    results: Sequence[np.ndarray],
    side: int,
) -> np.ndarray:
    """One output frame from square pictures; every cell is side x side.

    result: the (only) result. side-by-side: source, driving, result in a row. grid: the driving
    picture and every result, in rows as near to a square as can be, black where nothing is left.
    """
    if layout == "result":
        return resize(results[0], side)
    cells = [] if driving is None else [driving]
    cells = [sources[0], *cells, results[0]] if layout == "side-by-side" else [*cells, *results]
    columns = len(cells) if layout == "side-by-side" else math.ceil(math.sqrt(len(cells)))
    rows = math.ceil(len(cells) / columns)
    sheet = np.zeros((rows * side, columns * side, 3), np.uint8)
    for i, cell in enumerate(cells):
        y, x = side * (i // columns), side * (i % columns)
        sheet[y : y + side, x : x + side] = resize(cell, side)
    return sheet

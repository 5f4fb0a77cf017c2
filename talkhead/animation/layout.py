"""Arrange one output frame: the result alone, side by side, or a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from talkhead.faces.crop import resize

Layout = Literal["result", "side-by-side", "grid"]


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

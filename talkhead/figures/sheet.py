"""Labelled panels on a white sheet, drawn with OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 192  # pixels of a panel: a multiple of 32 and 64, the sides of most maps
GAP = 10
FONT = cv2.FONT_HERSHEY_SIMPLEX
LABEL, NOTE, TITLE = 0.4, 0.45, 0.65  # sizes of letters, in units of the font
LABEL_HEIGHT, NOTE_HEIGHT, TITLE_HEIGHT = 18, 20, 28
INK, PALE, FRAME = (20, 20, 20), (90, 90, 90), (190, 190, 190)


@dataclass(frozen=True)
class Panel:
    """A picture uint8 (H, W, 3), the words above it (ASCII), and whether it has a thin frame."""

    picture: np.ndarray
    label: str
    framed: bool = True


@dataclass(frozen=True)
class Figure:
    """The answer to one question: a title, how to read it, and rows of panels."""

    title: str
    note: str
    rows: Sequence[Sequence[Panel]]


def enlarge(picture: np.ndarray, side: int = SIDE, *, smooth: bool = False) -> np.ndarray:
    """A map at a panel's size; its pixels stay visible unless `smooth`."""
    if picture.shape[0] > side:
        return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    how = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    return cv2.resize(picture, (side, side), interpolation=how)


def text_width(text: str, size: float) -> int:
    """Pixels that a line takes."""
    (width, _), _ = cv2.getTextSize(text, FONT, size, 1)
    return int(width)


def write(
    picture: np.ndarray, text: str, x: int, y: int, size: float, ink: tuple[int, int, int] = INK
) -> None:
    """Put a line of text with its base line at y, in place."""
    cv2.putText(picture, text, (x, y), FONT, size, ink, 1, cv2.LINE_AA)


def compose(figures: Sequence[Figure]) -> np.ndarray:
    """All figures, one below the other: uint8 (H, W, 3)."""
    parts = [block for figure in figures for block in _blocks(figure)]
    width = max(part.shape[1] for part in parts) + 2 * GAP
    parts = [_widen(part, width) for part in parts]
    margin = np.full((GAP, width, 3), 255, np.uint8)
    return np.concatenate([margin, *parts, margin])


def _blocks(figure: Figure) -> list[np.ndarray]:
    """Heading and rows of one figure, each as wide as it needs."""
    width = max(text_width(figure.title, TITLE), text_width(figure.note, NOTE)) + GAP
    heading = np.full((TITLE_HEIGHT + NOTE_HEIGHT, width, 3), 255, np.uint8)
    write(heading, figure.title, 0, TITLE_HEIGHT - 6, TITLE)
    write(heading, figure.note, 0, TITLE_HEIGHT + NOTE_HEIGHT - 7, NOTE, PALE)
    return [heading, *map(_row, figure.rows)]


def _row(panels: Sequence[Panel]) -> np.ndarray:
    drawn = [_with_label(panel) for panel in panels]
    height = max(each.shape[0] for each in drawn) + GAP
    width = sum(each.shape[1] + GAP for each in drawn)
    row = np.full((height, width, 3), 255, np.uint8)
    x = 0
    for each in drawn:
        row[: each.shape[0], x : x + each.shape[1]] = each
        x += each.shape[1] + GAP
    return row


def _with_label(panel: Panel) -> np.ndarray:
    height, width = panel.picture.shape[:2]
    drawn = np.full((LABEL_HEIGHT + height + 2, width + 2, 3), 255, np.uint8)
    write(drawn, panel.label, 0, LABEL_HEIGHT - 6, LABEL)
    if panel.framed:
        drawn[LABEL_HEIGHT:] = FRAME
    drawn[LABEL_HEIGHT + 1 : -1, 1:-1] = panel.picture
    return drawn


def _widen(part: np.ndarray, width: int) -> np.ndarray:
    """Margins to the left and, as far as needed, to the right."""
    right = width - GAP - part.shape[1]
    return np.pad(part, ((0, 0), (GAP, right), (0, 0)), constant_values=255)

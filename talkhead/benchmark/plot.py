"""One picture of a result: where a frame's time goes, and how many frames per second that makes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from talkhead.benchmark.result import Result

Colour = tuple[int, int, int]

WIDTH, MARGIN, LABELS, ROW = 1200, 24, 330, 26  # pixels
INK: Colour = (30, 30, 30)
FAINT: Colour = (120, 120, 120)
COLOURS: dict[str, Colour] = {
    "around the model": (120, 150, 170),
    "keypoints": (230, 160, 60),
    "generator": (60, 110, 190),
}
LOOP: Colour = (190, 80, 70)


def draw(result: Result) -> np.ndarray:
    """uint8 RGB: stages in ms per frame with their 5th to 95th percentile, then frames/s."""
    speeds = [(f"model, batch of {b.size}", b.frames_per_second) for b in result.batches]
    speeds += [(render.name, render.frames_per_second) for render in result.renders]
    colours = [COLOURS["generator"]] * len(result.batches)
    colours += [COLOURS["around the model"]] * len(result.renders)
    if result.comparison:
        speeds.append(("plain loop, end to end", result.comparison.loop.frames_per_second))
        colours.append(LOOP)
    rows = len(result.stages) + len(speeds) + 5
    sheet = np.full((rows * ROW + 2 * MARGIN, WIDTH, 3), 255, np.uint8)
    title = f"{result.model}, {result.image_size} px, {result.precision}, {result.machine.device}"
    write(sheet, title, (MARGIN, 0), INK, 0.7)
    write(sheet, f"{result.machine.processor}, {result.date}", (MARGIN, 1), FAINT)
    write(sheet, "ms per frame, mean; line: 5th to 95th percentile", (MARGIN, 2), FAINT)
    bars(
        sheet,
        3,
        [(stage.name, stage.time.mean) for stage in result.stages],
        [COLOURS[stage.room] for stage in result.stages],
        [(stage.time.p5, stage.time.p95) for stage in result.stages],
    )
    write(sheet, "frames per second", (MARGIN, 4 + len(result.stages)), FAINT)
    bars(sheet, 5 + len(result.stages), speeds, colours)
    return sheet


def bars(
    sheet: np.ndarray,
    row: int,
    values: Sequence[tuple[str, float]],
    colours: Sequence[Colour],
    spans: Sequence[tuple[float, float]] = (),
) -> None:
    """Horizontal bars from a row on, on one scale of their own."""
    most = max(value for _, value in values)
    room = WIDTH - LABELS - MARGIN - 110  # on the right the number is written
    for i, (name, value) in enumerate(values):
        top = MARGIN + (row + i) * ROW
        end = LABELS + max(1, round(room * value / most))
        cv2.rectangle(sheet, (LABELS, top + 5), (end, top + ROW - 5), colours[i], cv2.FILLED)
        write(sheet, name, (MARGIN, row + i), INK)
        text_at = end
        if spans:
            low, high = (LABELS + min(round(room * v / most), room + 20) for v in spans[i])
            middle = top + ROW // 2
            cv2.line(sheet, (low, middle), (high, middle), INK, 1, cv2.LINE_AA)
            text_at = max(end, high)
        write(sheet, f"{value:.3g}", (text_at + 8, row + i), FAINT)


def write(
    sheet: np.ndarray, text: str, place: tuple[int, int], colour: Colour, scale: float = 0.5
) -> None:
    """`place`: pixels from the left, and which row."""
    at = (place[0], MARGIN + place[1] * ROW + ROW - 8)
    cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)

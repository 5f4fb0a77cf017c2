"""Overlays on images: keypoints, jacobians, grids, bars."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from talkhead.figures.colour import distinct
from talkhead.figures.sheet import FONT
from talkhead.models.grid import warp
from talkhead.structs import Keypoints
from talkhead.topology import (
    INNER_LIPS,
    LEFT_EYE,
    LEFT_IRIS,
    OUTER_LIPS,
    OVAL,
    RIGHT_EYE,
    RIGHT_IRIS,
)

SHIFT = 4  # OpenCV draws at 1 / 2**SHIFT pixels
TILT = 0.06  # length of the arms that show a jacobian of 1, in grid units
CELL = 12  # pixels of a panel between two lines of a grid
MAX_NUMBERED = 20  # more keypoints than this would hide under their numbers
INK = (20, 20, 20)
BAR = (70, 110, 170)
UNUSED = (225, 225, 225)


def to_pixels(points: np.ndarray, side: int) -> np.ndarray:
    """Points in [-1, 1] as pixels of a square picture whose border pixels' centres are -1 and 1."""
    return (points + 1) / 2 * (side - 1)


def mark_keypoints(picture: np.ndarray, keypoints: Keypoints, group_size: int = 1) -> np.ndarray:
    """The picture with its keypoints as dots, one colour per group, on a copy.

    Single keypoints have a number and, where there is a jacobian, two arms: where it takes a
    step to the right and a step down. Points of a group are joined by a line.
    """
    marked, side = picture.copy(), picture.shape[0]
    value = keypoints.value[0].numpy()
    points = to_pixels(value, side)
    if group_size > 1:
        for number, group in enumerate(points.reshape(-1, group_size, 2)):
            cv2.polylines(marked, [_fixed(group)], True, distinct(number), 1, cv2.LINE_AA, SHIFT)
    elif keypoints.jacobian is not None:
        for point, arms in zip(value, keypoints.jacobian[0].numpy(), strict=True):
            for arm in arms.T:
                ends = to_pixels(np.stack([point, point + TILT * arm]), side)
                cv2.polylines(marked, [_fixed(ends)], False, (255, 255, 255), 1, cv2.LINE_AA, SHIFT)
    for number, point in enumerate(points):
        _dot(marked, point, distinct(number // group_size), 2 if group_size > 1 else 4)
        if len(points) <= MAX_NUMBERED:
            _number(marked, point, number)
    return marked


def mark_mesh(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The picture with the points (478, 2) of a face mesh in its pixels, on a copy.

    Dots, irises larger, and the outlines of face, eyes and lips.
    """
    marked = picture.copy()
    for number, ring in enumerate((OVAL, LEFT_EYE, RIGHT_EYE, OUTER_LIPS, INNER_LIPS)):
        line = _fixed(points[list(ring)] - 0.5)
        cv2.polylines(marked, [line], True, distinct(number), 1, cv2.LINE_AA, SHIFT)
    for number, point in enumerate(points - 0.5):
        if number in (LEFT_IRIS, RIGHT_IRIS):
            _dot(marked, point, (255, 255, 255), 2)
        else:
            centre = tuple(int(v) for v in _fixed(point))
            cv2.circle(marked, centre, 1 << (SHIFT - 1), (255, 255, 255), -1, cv2.LINE_AA, SHIFT)
    return marked


def mark_moves(
    picture: np.ndarray, before: Keypoints, after: Keypoints, group_size: int = 1
) -> np.ndarray:
    """The picture with an arrow from where each keypoint is to where it goes, on a copy."""
    marked, side = picture.copy(), picture.shape[0]
    starts = to_pixels(before.value[0].numpy(), side)
    ends = to_pixels(after.value[0].numpy(), side)
    for number, pair in enumerate(zip(starts, ends, strict=True)):
        start, end = _fixed(np.stack(pair))
        colour = distinct(number // group_size)
        length = float(np.hypot(*(pair[1] - pair[0])))
        tip = min(6 / max(length, 1e-6), 0.5)
        cv2.arrowedLine(marked, start, end, INK, 3, cv2.LINE_AA, SHIFT, tip)
        cv2.arrowedLine(marked, start, end, colour, 1, cv2.LINE_AA, SHIFT, tip)
    return marked


def _fixed(points: np.ndarray) -> np.ndarray:
    """As OpenCV's fixed-point numbers, cut off far outside, where they would overflow."""
    return np.rint(np.clip(points, -4096, 4096) * (1 << SHIFT)).astype(np.int32)


def _dot(picture: np.ndarray, point: np.ndarray, colour: tuple[int, int, int], size: int) -> None:
    centre = tuple(int(v) for v in _fixed(point))
    cv2.circle(picture, centre, (size + 1) << SHIFT, INK, -1, cv2.LINE_AA, SHIFT)
    cv2.circle(picture, centre, size << SHIFT, colour, -1, cv2.LINE_AA, SHIFT)


def _number(picture: np.ndarray, point: np.ndarray, number: int) -> None:
    x, y = (int(v) for v in np.clip(point, -4096, 4096))
    for ink, width in ((INK, 3), ((255, 255, 255), 1)):
        cv2.putText(picture, str(number), (x + 5, y - 4), FONT, 0.38, ink, width, cv2.LINE_AA)


def bend(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The picture (S, S, 3) under a deformation (h, w, 2); black where it looks outside."""
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    moved = warp(image, torch.from_numpy(motion)[None])
    return moved[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()


def bent_grid(motion: np.ndarray, side: int) -> np.ndarray:
    """How a regular grid on the source looks after the deformation (h, w, 2): dark on white."""
    # Drawn large and averaged: thin lines would break where the deformation shrinks them.
    large = 3 * side
    places = np.rint(np.linspace(1, large - 2, side // CELL + 1)).astype(int)
    lines = np.zeros((large, large, 3), np.uint8)
    for shift in (-1, 0, 1):
        lines[places + shift] = 255
        lines[:, places + shift] = 255
    return 255 - cv2.resize(bend(lines, motion), (side, side), interpolation=cv2.INTER_AREA)


def bars(counts: np.ndarray, total: int, width: int, height: int) -> np.ndarray:
    """A bar for every code, `total` of them from left to right; codes without a count are grey.

    counts: of the codes that may be used; what lies to the right of them stays empty.
    """
    chart = np.full((height, width, 3), 255, np.uint8)
    edges = np.rint(np.arange(total + 1) * width / total).astype(int)
    top = max(int(counts.max()), 1)
    for code, count in enumerate(counts):
        columns = slice(edges[code], max(edges[code + 1], edges[code] + 1))
        chart[height - 3 :, columns] = BAR if count else UNUSED
        bar = round((height - 4) * int(count) / top)
        if bar:
            chart[height - 3 - bar :, columns] = BAR
    return chart

"""Random changes of a pair of frames: the same for both, landmarks following the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkhead.models.grid import identity_grid, inverse_2x2, matmul_2x2, resize_grid, warp
from talkhead.training.data.random_warp import COARSE, CONTROL_POINTS, bend, reflect
from talkhead.training.recipes.recipe import Augmentation

GREY = np.array([0.299, 0.587, 0.114])  # luma of BT.601
INVERSION_ROUNDS = 8  # of the fixed-point iteration that moves landmarks under a bend


@dataclass(frozen=True)
class Change:
    """What is done to each of B pairs.

    matrix, shift: (B, 2, 2) and (B, 2); the picture moves by z -> matrix z + shift.
    bend:    (B, 25), thin-plate weights of an additional warp, or None.
    flip:    (B,) bool, mirrored after that. clamp: (B,) bool, repeat the border, else mirror it.
    colour, offset, gamma: (B, 3, 3), (B,) and (B,); rgb -> (colour rgb + offset) ^ gamma.
    moves:   whether any geometry but the flip is wanted.
    """

    matrix: Tensor
    shift: Tensor
    bend: Tensor | None
    flip: Tensor
    clamp: Tensor
    colour: Tensor
    offset: Tensor
    gamma: Tensor
    moves: bool


def draw(rng: np.random.Generator, how: Augmentation) -> dict[str, np.ndarray]:
    """The numbers of one pair's change."""
    angle = rng.uniform(-how.rotation, how.rotation)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    scale, stretch = np.exp(rng.normal(0, how.scale)), np.exp(rng.normal(0, how.stretch))
    colour, offset = _colour(rng, how)
    return {
        "matrix": turn * scale * np.array([[stretch], [1 / stretch]]),
        "shift": rng.normal(0, how.shift, 2),
        "bend": rng.normal(0, how.bend, CONTROL_POINTS**2),
        "flip": np.array(rng.random() < how.flip),
        "clamp": np.array(rng.random() < 0.5),
        "colour": colour,
        "offset": np.array(offset),
        "gamma": np.array(np.exp(rng.normal(0, how.gamma))),
    }


def _colour(rng: np.random.Generator, how: Augmentation) -> tuple[np.ndarray, float]:
    """A colour matrix and an offset: jitter and random mixing are both linear."""
    brightness, contrast, saturation = rng.uniform(1 - how.jitter, 1 + how.jitter, 3)
    hue = 2 * math.pi * rng.uniform(-how.jitter, how.jitter)
    matrix = brightness * contrast * _turn_hue(hue)
    matrix = matrix @ (saturation * np.eye(3) + (1 - saturation) * GREY)
    matrix = matrix @ (np.eye(3) + rng.normal(0, how.colour, (3, 3)))
    # Contrast turns about middle grey rather than each picture's own mean, so that both frames
    # of a pair stay comparable.
    offset = (1 - contrast) / 2 + rng.normal(0, how.offset)
    return matrix * np.exp(rng.normal(0, how.gain)), offset


def _turn_hue(angle: float) -> np.ndarray:
    """Rotation of colours around the grey axis."""
    axis = np.full(3, 1 / math.sqrt(3))
    cross = np.cross(np.eye(3), axis)
    outer = np.outer(axis, axis)
    return math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * outer


def stack(numbers: list[dict[str, np.ndarray]], how: Augmentation) -> Change:
    """One change per pair from what `draw` drew."""
    joined = {name: torch.from_numpy(np.stack([n[name] for n in numbers])) for name in numbers[0]}
    floats = {k: v if v.dtype == torch.bool else v.float() for k, v in joined.items()}
    spline = floats.pop("bend")
    moves = any((how.rotation, how.scale, how.stretch, how.shift, how.bend))
    return Change(**floats, bend=spline if how.bend else None, moves=moves)


def move(images: Tensor, change: Change) -> Tensor:
    """Warp and mirror pairs of images (B, 2, C, S, S)."""
    if change.moves:
        grid = backward_grid(change, images.shape[-1])
        images = warp(images.flatten(1, 2), grid).unflatten(1, images.shape[1:3])
    return torch.where(change.flip[:, None, None, None, None], images.flip(-1), images)


def recolour(images: Tensor, change: Change) -> Tensor:
    """Change colours and light of pairs of images (B, 2, 3, S, S) in [0, 1]."""
    offset, gamma = (x[:, None, None, None, None] for x in (change.offset, change.gamma))
    images = torch.einsum("bij,bkjhw->bkihw", change.colour, images) + offset
    return images.clamp(0, 1) ** gamma


def move_points(points: Tensor, change: Change, mirror: Tensor) -> Tensor:
    """Where landmarks (B, 2, n, 2) of the old pictures lie in the changed ones.

    They are in [-1, 1] at the centres of the border pixels. `mirror` (n,) says which landmark each
    one becomes in the mirrored picture.
    """
    if change.moves:
        points = _warp_points(points, change)
    mirrored = points[:, :, mirror] * points.new_tensor([-1.0, 1.0])
    return torch.where(change.flip[:, None, None, None], mirrored, points)


def backward_grid(change: Change, size: int) -> Tensor:
    """Where each pixel of the changed picture comes from: (B, S, S, 2), inside the picture."""
    count = len(change.matrix)
    grid = identity_grid(COARSE, COARSE, change.matrix.device).flatten(0, 1).expand(count, -1, -1)
    bent = grid + _bend(change, grid)
    back = inverse_2x2(change.matrix)[:, None]
    moved = matmul_2x2(back, (bent - change.shift[:, None])[..., None])[..., 0]
    moved = resize_grid(moved.unflatten(1, (COARSE, COARSE)), (size, size))
    clamp = change.clamp[:, None, None, None]
    return torch.where(clamp, moved.clamp(-1, 1), reflect(moved))


def _warp_points(points: Tensor, change: Change) -> Tensor:
    """Where points (B, 2, n, 2) are taken by the warp alone.

    Pixels look back from z to matrix^-1 (z + bend(z) - shift), so a point p moves to the z that
    solves z = matrix p + shift - bend(z).
    """
    count = points.shape[2]
    flat = points.flatten(1, 2)
    target = matmul_2x2(change.matrix[:, None], flat[..., None])[..., 0] + change.shift[:, None]
    moved = target
    for _ in range(INVERSION_ROUNDS if change.bend is not None else 0):
        moved = target - _bend(change, moved)
    return moved.unflatten(1, (2, count))


def _bend(change: Change, points: Tensor) -> Tensor:
    """The thin-plate part of the change at points (B, n, 2)."""
    if change.bend is None:
        return torch.zeros(1, device=points.device)
    return bend(points, change.bend, "l1")

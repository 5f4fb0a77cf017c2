"""Expressions: what a face does within its head, how much of it is drawn, what faces can do.

Keypoints that are the points of a head (`head_pose.POINTS`) are taken apart into the head's pose
and the face's shape in the head's own frame: x to its left, y to its chin, in heights of the face.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from talkhead.motion.head_pose import POINTS, RIGIDITY, poses
from talkhead.structs import Keypoints, Strengths

CHIN, LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW = 1, 7, 8, 9, 10
LEFT_CORNER, RIGHT_CORNER, UPPER_LIP, LOWER_LIP = 11, 12, 13, 14
MOUTH_POINTS = (CHIN, LEFT_CORNER, RIGHT_CORNER, UPPER_LIP, LOWER_LIP)
EYE_POINTS = (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW)

# What faces do, in heights of the face: from the 1st to the 99th of a hundred, or a little beyond,
# of 8700 meshes of 130 clips. A source whose own face does more may go on doing so.
OPENING = (0.0, 0.20)  # of the lips
WIDTH = (0.20, 0.41)  # of the mouth
DROOP = (-0.06, 0.025)  # of the mouth's corners below the middle of the lips
BROW = (0.10, 0.21)  # height of a brow over its eye
# How high the neighbourhood of a keypoint is, over the mean face's.
HEIGHTS = {
    **dict.fromkeys((LEFT_EYE, RIGHT_EYE), (0.55, 1.3)),
    **dict.fromkeys((LEFT_CORNER, RIGHT_CORNER), (0.7, 1.5)),
    **dict.fromkeys((UPPER_LIP, LOWER_LIP), (0.5, 2.1)),
}


@dataclass(frozen=True)
class HeadView:
    """How heads are seen: middle (B, 1, 2), size (B,) and rotation (B, 3, 3)."""

    middle: Tensor
    size: Tensor
    rotation: Tensor

    @cached_property
    def camera(self) -> Tensor:
        """(B, 2, 2), from x and y of the head's frame to the picture."""
        return self.size[:, None, None] * self.rotation[:, :2, :2]

    def project(self, points: Tensor) -> Tensor:
        """Points (B, n, 3) of the head's frame in the picture, (B, n, 2)."""
        seen = points @ self.rotation[:, :2].mT
        return self.middle + self.size[:, None, None] * seen

    def towards(self, other: HeadView, share: float) -> HeadView:
        """From this view (B of 1) a share of the way to another, or beyond."""
        turn = self.rotation.mT @ other.rotation
        return HeadView(
            self.middle + share * (other.middle - self.middle),
            self.size * (other.size / self.size) ** share,
            self.rotation @ rotation_power(turn, share),
        )


def rotation_power(rotation: Tensor, power: float) -> Tensor:
    """Rotations (B, 3, 3) about the same axes by `power` times the angle, below half a turn."""
    skew = (rotation - rotation.mT) / 2  # sin(angle) times the axis
    sine = skew.square().sum((1, 2)).div(2).sqrt()
    cosine = (rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    angle = power * torch.atan2(sine, cosine)
    axis = skew / sine.clamp(min=1e-9)[:, None, None]
    eye = torch.eye(3, dtype=rotation.dtype)
    turned = angle.sin()[:, None, None] * axis
    return eye + turned + (1 - angle.cos())[:, None, None] * axis @ axis


def look(value: Tensor) -> tuple[HeadView, Tensor]:
    """How heads with keypoints (B, K, 2) are seen, and the shapes (B, 15, 2) of their faces."""
    points, weight = value.new_tensor(POINTS), value.new_tensor(RIGIDITY)
    weight = weight / weight.sum()
    points = points - weight @ points
    seen = value[:, : len(POINTS)]
    size, rotation = poses(value)
    view = HeadView(weight[None, None] @ seen, size, rotation)
    rest = seen - view.project(points.expand(len(value), -1, -1))
    return view, points[:, :2] + rest @ _inverse(view.camera).mT


class Expression:
    """Changes moved keypoints of a source to other strengths, and to what faces can do.

    source: (1, K, 2), the keypoints of the portrait; the first are those of `head_pose.POINTS`.
    Where the pose cannot be told (keypoints on a line), keypoints stay as they are.
    """

    def __init__(self, source: Keypoints, strengths: Strengths) -> None:
        self._source = source.map(Tensor.float)
        self._view, self._shape = look(self._source.value)
        self._head = strengths.head
        share = torch.full((len(POINTS), 1), strengths.head)
        share[list(MOUTH_POINTS)] = strengths.mouth
        share[list(EYE_POINTS)] = strengths.eyes
        self._extra = share - 1  # of the change of each point, beside what is there

    def __call__(self, moved: Keypoints) -> Keypoints:
        """Keypoints to be drawn -> the same, changed; what need not change is left exactly."""
        count = len(POINTS)
        view, shape = look(moved.value)
        drawn = view if self._head == 1 else self._view.towards(view, self._head)
        wanted = limited(shape + self._extra * (shape - self._shape), self._shape)
        shift = (wanted - shape) @ drawn.camera.mT
        if self._head != 1:
            depth = _depth(shape)
            shift = shift + drawn.project(depth) - view.project(depth)
        rest = (self._head - 1) * (moved.value - self._source.value)[:, count:]
        value = moved.value + torch.cat([_finite(shift), rest], dim=1)
        return replace(moved, value=value, jacobian=self._tilt(moved, view, drawn))

    def _tilt(self, moved: Keypoints, view: HeadView, drawn: HeadView) -> Tensor | None:
        """The jacobians, changed likewise."""
        own, count = self._source.jacobian, len(POINTS)
        if moved.jacobian is None or own is None:
            return moved.jacobian
        mine = _inverse(self._view.camera)[:, None] @ own[:, :count]
        local = _inverse(view.camera)[:, None] @ moved.jacobian[:, :count]
        wanted = local + self._extra[..., None] * (local - mine)
        for point, (least, most) in HEIGHTS.items():
            height = mine[0, point, 1, 1]
            wanted[:, point, 1, 1] = _bounded(wanted[:, point, 1, 1], height, least, most)
        change = drawn.camera[:, None] @ (wanted - local)
        if self._head != 1:
            change = change + (drawn.camera - view.camera)[:, None] @ local
        rest = (self._head - 1) * (moved.jacobian - own)[:, count:]
        return moved.jacobian + torch.cat([_finite(change), rest], dim=1)


# Differences that count alike when faces are compared: of the opening, the width and the droop of
# the mouth, of each brow and of each eye's height over the mean face's; and of unit axes (ten
# degrees).
ALIKE = (0.03, 0.04, 0.015, 0.025, 0.025, 0.15, 0.15)
AXIS_ALIKE = 0.17


def expression_and_pose(keypoints: Keypoints) -> Tensor:
    """What is compared of faces, in units of what counts: (B, n). NaN where there is no pose."""
    keypoints = keypoints.map(lambda tensor: tensor.detach().float().cpu())
    view, shape = look(keypoints.value)
    x, y = shape.unbind(-1)
    parts = [_opening(y), _width(x), _droop(y)]
    parts += [
        y[:, eye] - y[:, brow] for eye, brow in ((LEFT_EYE, LEFT_BROW), (RIGHT_EYE, RIGHT_BROW))
    ]
    if keypoints.jacobian is not None:
        local = _inverse(view.camera)[:, None] @ keypoints.jacobian[:, [LEFT_EYE, RIGHT_EYE]]
        parts += local[..., 1, 1].unbind(1)
    expression = torch.stack(parts, dim=1) / shape.new_tensor(ALIKE[: len(parts)])
    return torch.cat([expression, view.rotation.flatten(1) / AXIS_ALIKE], dim=1)


def limited(shape: Tensor, source: Tensor) -> Tensor:
    """Shapes of faces (B, 15, 2) with all that faces cannot do taken back, for a source (1, 15, 2).

    Exactly the same where there is nothing of the kind.
    """
    x, y = shape.clone().unbind(-1)
    change = y - source[..., 1]
    opening = change[:, LOWER_LIP] - change[:, UPPER_LIP]
    excess = _excess(*(_opening(s[..., 1]) for s in (shape, source)), *OPENING)
    # Taken from each lip, and from the chin, by what it did for the opening.
    lower = (change[:, LOWER_LIP] / opening).nan_to_num(0.5).clamp(0, 1)
    chin = (change[:, CHIN] / opening).nan_to_num(0).clamp(0, 1)
    y[:, LOWER_LIP] -= lower * excess
    y[:, UPPER_LIP] += (1 - lower) * excess
    y[:, CHIN] -= lower * chin * excess

    excess = _excess(*(_width(s[..., 0]) for s in (shape, source)), *WIDTH)
    x[:, RIGHT_CORNER] -= excess / 2
    x[:, LEFT_CORNER] += excess / 2
    excess = _excess(*(_droop(s[..., 1]) for s in (torch.stack([x, y], -1), source)), *DROOP)
    y[:, LEFT_CORNER] -= excess
    y[:, RIGHT_CORNER] -= excess
    for eye, brow in ((LEFT_EYE, LEFT_BROW), (RIGHT_EYE, RIGHT_BROW)):
        own = source[:, eye, 1] - source[:, brow, 1]
        y[:, brow] += _excess(y[:, eye] - y[:, brow], own, *BROW)
    return torch.stack([x, y], dim=-1)


def _opening(y: Tensor) -> Tensor:
    return y[:, LOWER_LIP] - y[:, UPPER_LIP]


def _width(x: Tensor) -> Tensor:
    return x[:, RIGHT_CORNER] - x[:, LEFT_CORNER]


def _droop(y: Tensor) -> Tensor:
    corners = y[:, LEFT_CORNER] + y[:, RIGHT_CORNER]
    return (corners - y[:, UPPER_LIP] - y[:, LOWER_LIP]) / 2


def _excess(value: Tensor, own: Tensor, least: float, most: float) -> Tensor:
    """By how much a value lies beyond bounds that are widened to hold the source's own."""
    return value - _bounded(value, own, least, most)


def _bounded(value: Tensor, own: Tensor, least: float, most: float) -> Tensor:
    return torch.minimum(torch.maximum(value, own.clamp(max=least)), own.clamp(min=most))


def _depth(shape: Tensor) -> Tensor:
    """Shapes (B, 15, 2) with the depth of the mean face."""
    points, weight = shape.new_tensor(POINTS), shape.new_tensor(RIGIDITY)
    depth = points[:, 2:] - (weight / weight.sum()) @ points[:, 2:]
    return torch.cat([shape, depth.expand(len(shape), -1, -1)], dim=-1)


def _inverse(cameras: Tensor) -> Tensor:
    return torch.linalg.inv_ex(cameras).inverse


def _finite(change: Tensor) -> Tensor:
    return torch.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0)

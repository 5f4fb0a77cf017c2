"""Head pose: the effect of a rigid head rotation on landmark keypoints.

Relative motion adds keypoint offsets in 2D. That is exact for a source in the anchor's pose; a head
seen from the side becomes narrower where a frontal head only shifts. If the keypoints are known
head points, this module computes the difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

# The keypoints that training with landmarks teaches, in its order (`topology.HEAD_GROUPS`), on
# the mean of 1030 face meshes of 47 people: x to the right, y down, z away from the viewer, in
# heights of the face. And how far each stays where the skull is, whatever the face does.
POINTS = (
    (0.000, -0.513, -0.003),  # top of the forehead
    (0.000, 0.487, -0.003),  # chin
    (-0.406, -0.050, 0.379),  # left cheek at the ear
    (0.406, -0.050, 0.379),  # right cheek at the ear
    (-0.318, 0.300, 0.245),  # left corner of the jaw
    (0.318, 0.300, 0.245),  # right corner of the jaw
    (0.000, 0.027, -0.198),  # tip of the nose
    (-0.185, -0.187, 0.039),  # left eye
    (0.185, -0.187, 0.039),  # right eye
    (-0.242, -0.340, 0.002),  # left brow
    (0.242, -0.340, 0.002),  # right brow
    (-0.146, 0.216, 0.001),  # left corner of the mouth
    (0.146, 0.216, 0.001),  # right corner of the mouth
    (0.000, 0.197, -0.085),  # upper inner lip
    (0.000, 0.236, -0.076),  # lower inner lip
)
RIGIDITY = (1.0, 0.3, 1.0, 1.0, 0.5, 0.5, 1.0, 1.0, 1.0, 0.3, 0.3, 0.0, 0.0, 0.0, 0.0)
FREE_TURN, LARGEST_TURN = math.radians(20), math.radians(35)  # see `limit_turn`
LED_FROM, LED_WHOLLY = math.radians(10), math.radians(25)  # see `led_by_turn`


class HeadRotation:
    """What relative motion misses, for one anchor and one source, keypoints (1, K, 2) each.

    The rotation from anchor to driving, done to the source's head in space, moves its points
    otherwise than it moved the driver's (times `scale`). The difference is 0 for a source in the
    anchor's pose, for a driver that only shifts, for keypoints after those of `POINTS` and where
    keypoints lie on a line.
    """

    def __init__(self, anchor: Tensor, source: Tensor, scale: float) -> None:
        (size, anchor_size), (pose, anchor_pose) = poses(torch.cat([source, anchor]))
        self._scale = scale
        self._carry = anchor_pose.T @ pose
        self._size = size - scale * anchor_size
        self._start = _project(size, pose) - scale * _project(anchor_size, anchor_pose)

    def __call__(self, driving: Tensor) -> Tensor:
        """What is to be added to moved keypoints, (B, K, 2), for driving ones of that shape."""
        size, pose = poses(driving)
        drawn = _project(self._size + self._scale * size, pose @ self._carry)
        missed = drawn - self._scale * _project(size, pose) - self._start
        missed = torch.nan_to_num(missed, nan=0.0, posinf=0.0, neginf=0.0)
        return F.pad(missed, (0, 0, 0, driving.shape[1] - len(POINTS)))


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

    def project(self, shape: Tensor) -> Tensor:
        """Faces (B, 15, 2) in the head's frame, as deep as the mean face, in the picture."""
        depth = _centred_points(shape)[0][:, 2:].expand(len(shape), -1, -1)
        seen = torch.cat([shape, depth], dim=-1) @ self.rotation[:, :2].mT
        return self.middle + self.size[:, None, None] * seen

    def towards(self, other: HeadView, share: float) -> tuple[HeadView, Tensor]:
        """From this view a share of the way to another, or beyond; see `limit_turn`.

        The second (B, 1, 1) is how much of the turn is left.
        """
        if share != 1:
            other = HeadView(
                self.middle + share * (other.middle - self.middle),
                self.size * (other.size / self.size) ** share,
                self.rotation @ rotation_power(self.rotation.mT @ other.rotation, share),
            )
        turn, left = limit_turn(other.rotation @ self.rotation.mT)
        rotation = torch.where(left < 1, turn @ self.rotation, other.rotation)
        return replace(other, rotation=rotation), left


def fit_view(value: Tensor) -> tuple[HeadView, Tensor]:
    """How heads with keypoints (B, K, 2) are seen, and the faces (B, 15, 2) in their frames."""
    points, weight = _centred_points(value)
    seen = value[:, : len(POINTS)]
    size, rotation = poses(value)
    view = HeadView(weight[None, None] @ seen, size, rotation)
    shape = points[:, :2].expand(len(value), -1, -1)
    inverse = torch.linalg.inv_ex(view.camera).inverse
    return view, shape + (seen - view.project(shape)) @ inverse.mT


def rotation_power(rotation: Tensor, power: float) -> Tensor:
    """Rotations (B, 3, 3) about the same axes by `power` times their angles, under half a turn."""
    skew = (rotation - rotation.mT) / 2  # sin(angle) times the axis
    axis = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1)
    sine = axis.norm(dim=1)
    cosine = (rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    return rotation_about(axis / sine.clamp(min=1e-9)[:, None], power * torch.atan2(sine, cosine))


def limit_turn(rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations (B, 3, 3) of a source's head that turn it less far from its own view.

    Further than `FREE_TURN` a head turns by less and less more, up to `LARGEST_TURN`: a picture
    knows nothing of the side that comes into view, and faces that are bent further are broad, with
    their mouths beside them [own experiments]. How heads lie in the picture is left alone. The
    second (B, 1, 1) is how much of the turn is left: 1 where nothing changes.
    """
    angle = turned_by(rotation)
    excess = ((angle - FREE_TURN) / (LARGEST_TURN - FREE_TURN)).clamp(min=0)
    left = torch.where(
        excess > 0, (FREE_TURN + (LARGEST_TURN - FREE_TURN) * excess.tanh()) / angle, 1
    )
    # The turn about an axis in the picture's plane, of which a part is taken back.
    axis = F.normalize(torch.stack([-rotation[:, 1, 2], rotation[:, 0, 2]], dim=1), dim=1)
    axis = F.pad(axis, (0, 1))
    back = rotation_about(axis, (left - 1) * angle)
    left = left[:, None, None]
    return torch.where(left < 1, back @ rotation, rotation), left


def turned_by(rotation: Tensor) -> Tensor:
    """How far rotations (B, 3, 3) turn heads out of the picture's plane, (B,) in radians."""
    return torch.atan2(rotation[:, :2, 2].norm(dim=1), rotation[:, 2, 2])


def led_by_turn(rotation: Tensor) -> Tensor:
    """How far keypoints are led by what is known of a head in space, (B,) from 0 to 1.

    rotation: (B, 3, 3), of a source's head from its own view. Not at all while it is seen much as
    in its photo, where keypoints that move in the picture are steadier.
    """
    return ((turned_by(rotation) - LED_FROM) / (LED_WHOLLY - LED_FROM)).clamp(0, 1)


def rotation_about(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotations (B, 3, 3) by angles (B,) about axes (B, 3) of length 1 (Rodrigues)."""
    x, y, z = axis.unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).unflatten(1, (3, 3))
    turned = angle.sin()[:, None, None] * skew
    turned = turned + (1 - angle.cos())[:, None, None] * skew @ skew
    return torch.eye(3, dtype=axis.dtype) + turned


def _centred_points(like: Tensor) -> tuple[Tensor, Tensor]:
    """`POINTS` about their weighted middle, and the weights, whose sum is 1."""
    points, weight = like.new_tensor(POINTS), like.new_tensor(RIGIDITY)
    weight = weight / weight.sum()
    return points - weight @ points, weight


def poses(value: Tensor) -> tuple[Tensor, Tensor]:
    """Sizes (B,) and rotations (B, 3, 3) of heads whose keypoints (B, K, 2) are those of `POINTS`.

    The affine camera that fits best (weighted by `RIGIDITY`), brought to the nearest one that only
    rotates and scales. Not finite where keypoints lie on a line.
    """
    points, weight = _centred_points(value)
    seen = value[:, : len(POINTS)]
    moment = (points * weight[:, None]).T @ points
    camera = (seen * weight[:, None]).transpose(1, 2) @ points @ torch.linalg.inv(moment)
    # The square root of a symmetric 2 x 2 matrix in closed form.
    square = camera @ camera.transpose(1, 2)
    root_determinant = torch.linalg.det(square).sqrt()
    trace = (square.diagonal(dim1=1, dim2=2).sum(1) + 2 * root_determinant).sqrt()
    root = square + root_determinant[:, None, None] * torch.eye(2, dtype=value.dtype)
    rows = torch.linalg.inv_ex(root / trace[:, None, None]).inverse @ camera
    third = torch.linalg.cross(rows[:, 0], rows[:, 1])
    return trace / 2, torch.cat([rows, third[:, None]], dim=1)


def _project(size: Tensor, rotation: Tensor) -> Tensor:
    """The head's points in the picture, (..., K, 2), about its middle."""
    points = rotation.new_tensor(POINTS)
    return size[..., None, None] * (points @ rotation[..., :2, :].transpose(-1, -2))

"""Expressions: what a face does within its head, how much of it is drawn, what faces can do.

Keypoints that are the points of a head (`head_pose.POINTS`) are taken apart into the head's pose
and the face's shape in the head's own frame: x to the right of a face that looks at the viewer, y
to its chin, in heights of the face.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from talkhead.motion.head_pose import POINTS, HeadView, fit_view
from talkhead.structs import Keypoints, Strengths, head_points, is_known
from talkhead.topology import (
    HEAD_CHIN,
    HEAD_LEFT_BROW,
    HEAD_LEFT_CORNER,
    HEAD_LEFT_EYE,
    HEAD_LOWER_LIP,
    HEAD_RIGHT_BROW,
    HEAD_RIGHT_CORNER,
    HEAD_RIGHT_EYE,
    HEAD_UPPER_LIP,
    LOWER_LIDS,
    UPPER_LIDS,
)

MOUTH_POINTS = (HEAD_CHIN, HEAD_LEFT_CORNER, HEAD_RIGHT_CORNER, HEAD_UPPER_LIP, HEAD_LOWER_LIP)
EYES = (HEAD_LEFT_EYE, HEAD_RIGHT_EYE)
BROWS = (HEAD_LEFT_BROW, HEAD_RIGHT_BROW)

# What faces do, in heights of the face: the middle 98 % of 8700 meshes of 130 clips, or a little
# more. A source whose own face does more may go on doing so.
OPENING = (0.0, 0.20)  # of the lips
WIDTH = (0.20, 0.41)  # of the mouth
DROOP = (-0.06, 0.025)  # of the mouth's corners below the middle of the lips
BROW = (0.10, 0.21)  # height of a brow over its eye
# How high the neighbourhood of a keypoint is, over the mean face's.
EYE_HEIGHT = (0.55, 1.3)
MOUTH_HEIGHTS = {
    **dict.fromkeys((HEAD_LEFT_CORNER, HEAD_RIGHT_CORNER), (0.7, 1.5)),
    **dict.fromkeys((HEAD_UPPER_LIP, HEAD_LOWER_LIP), (0.5, 2.1)),
}
HEIGHT_PER_GAP = 10.0  # of an eye's neighbourhood, per height of the face that lids are apart


class Expression:
    """Changes moved keypoints of a source to other strengths, and to what faces can do.

    source: of the portrait, a batch of one, whose first keypoints are those of `POINTS`. Its mesh,
            where there is one, says how far lips and lids are apart, and so when they are closed.
    anchor: what the motion is measured from, a batch of one.

    Where the pose cannot be told (keypoints on a line), keypoints stay as they are.
    """

    def __init__(self, source: Keypoints, anchor: Keypoints, strengths: Strengths) -> None:
        self._source = source.map(Tensor.float)
        self._view, self._shape = fit_view(self._source.value)
        self._head = strengths.head
        share = torch.full((len(POINTS), 1), strengths.head)
        share[list(MOUTH_POINTS)] = strengths.mouth
        share[list(EYES + BROWS)] = strengths.eyes
        self._extra = share - 1  # of the change of each point, beside what is there
        self._local = local_maps(self._source)
        self._anchor_local = local_maps(anchor)
        lips, lids = gaps(self._source.mesh)
        own = _opening(self._shape[..., 1])
        self._least_opening = OPENING[0] if lips is None else own - lips.clamp(min=0)
        self._heights: dict[int, tuple[float, float]] = dict(MOUTH_HEIGHTS)
        for number, eye in enumerate(EYES):
            least, most = EYE_HEIGHT
            if lids is not None and self._local is not None:
                gap = float(lids[0, number].clamp(min=0))
                least = float(self._local[0, eye, 1, 1]) - HEIGHT_PER_GAP * gap
            self._heights[eye] = (least, most)

    def __call__(self, moved: Keypoints) -> Keypoints:
        """Keypoints to be drawn -> the same, changed; what need not change is left exactly."""
        count = len(POINTS)
        view, shape = fit_view(moved.value)
        drawn, left = self._view.towards(view, self._head)
        wanted = self._limited(shape + self._extra * (shape - self._shape))
        shift = drawn.project(wanted) - view.project(shape)
        more = _finite(self._head * left - 1)  # of what moves with the head
        rest = more * (moved.value - self._source.value)[:, count:]
        value = moved.value + torch.cat([_finite(shift), rest], dim=1)
        return replace(moved, value=value, jacobian=self._tilt(moved, view, drawn, more))

    def _tilt(
        self, moved: Keypoints, view: HeadView, drawn: HeadView, more: Tensor
    ) -> Tensor | None:
        """The jacobians, changed likewise."""
        mine, theirs, local = self._local, self._anchor_local, local_maps(moved, view)
        own, count = self._source.jacobian, len(POINTS)
        if local is None or mine is None or theirs is None or own is None:
            return moved.jacobian
        wanted = local + self._extra[..., None] * (local - mine)
        for point, bounds in self._heights.items():
            height = mine[:, point, 1, 1]
            # As much as the driver's, not as many times: thick lips do not open twice as wide.
            growth = theirs[:, point, 1, 1] / height - 1
            changed = wanted[:, point, 1, 1]
            changed = changed + growth * (changed - height)
            wanted[:, point, 1, 1] = bounded(changed, height, *bounds)
        change = drawn.camera[:, None] @ wanted - view.camera[:, None] @ local
        assert moved.jacobian is not None
        rest = more[..., None] * (moved.jacobian - own)[:, count:]
        return moved.jacobian + torch.cat([_finite(change), rest], dim=1)

    def _limited(self, shape: Tensor) -> Tensor:
        """Shapes (B, 15, 2), with all that faces cannot do taken back."""
        x, y = shape.clone().unbind(-1)
        own_x, own_y = self._shape.unbind(-1)
        excess = _excess(_opening(y), _opening(own_y), self._least_opening, OPENING[1])
        jaw = [HEAD_UPPER_LIP, HEAD_LOWER_LIP, HEAD_CHIN]
        below = torch.tensor([False, True, True])
        y[:, jaw] += gap_change((y - own_y)[:, jaw], -excess, 0, 1, below)
        excess = _excess(_width(x), _width(own_x), *WIDTH) / 2
        x[:, HEAD_LEFT_CORNER] += excess
        x[:, HEAD_RIGHT_CORNER] -= excess
        excess = _excess(_droop(y), _droop(own_y), *DROOP)[:, None]
        y[:, [HEAD_LEFT_CORNER, HEAD_RIGHT_CORNER]] -= excess
        y[:, list(BROWS)] += _excess(_brows(y), _brows(own_y), *BROW)
        return torch.stack([x, y], dim=-1)


def gap_change(change: Tensor, more: Tensor, upper: int, lower: int, below: Tensor) -> Tensor:
    """What opens the gap between two of the points of a part of the face by `more` (B,).

    change: (B, n), how far the points have moved down; below: (n,), those under the gap. Each side
    takes what it did for the opening, and its other points follow as far as they moved with it.
    """
    low, high = change[:, lower, None], change[:, upper, None]
    share = (low / (low - high)).nan_to_num(0.5).clamp(0, 1)
    along = torch.where(below, change / low, change / high).nan_to_num(0).clamp(0, 1)
    along[:, [upper, lower]] = 1
    return along * torch.where(below, share, share - 1) * more[:, None]


def gaps(mesh: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """How far lips (B,) and the lids of both eyes (B, 2) of meshes are apart; None: not known."""
    if mesh is None or not bool(is_known(mesh).all()):
        return None, None
    mesh = mesh[..., :2].float()
    view, shape = fit_view(head_points(mesh))
    lids = mesh[:, list(LOWER_LIDS)] - mesh[:, list(UPPER_LIDS)]
    return _opening(shape[..., 1]), (lids @ inverse(view.camera).mT)[..., 1]


def local_maps(keypoints: Keypoints, view: HeadView | None = None) -> Tensor | None:
    """Jacobians (B, 15, 2, 2) in the frame of the head; None where there are none."""
    if keypoints.jacobian is None:
        return None
    view = view or fit_view(keypoints.value.float())[0]
    return inverse(view.camera)[:, None] @ keypoints.jacobian[:, : len(POINTS)].float()


# Differences that count alike when faces are compared: of the opening, the width and the droop of
# the mouth, of the height of each brow and each eye; and of the axes of heads (six degrees).
ALIKE = (0.03, 0.04, 0.015, 0.025, 0.025, 0.15, 0.15)
AXIS_ALIKE = 0.1


def expression_and_pose(keypoints: Keypoints) -> Tensor:
    """What is compared of faces, in units of what counts: (B, n). Not finite without a pose."""
    keypoints = keypoints.map(lambda tensor: tensor.detach().float().cpu())
    view, shape = fit_view(keypoints.value)
    x, y = shape.unbind(-1)
    expression = torch.cat(
        [torch.stack([_opening(y), _width(x), _droop(y)], dim=1), _brows(y)], dim=1
    )
    if (local := local_maps(keypoints, view)) is not None:
        expression = torch.cat([expression, local[:, list(EYES), 1, 1]], dim=1)
    expression = expression / shape.new_tensor(ALIKE[: expression.shape[1]])
    return torch.cat([expression, view.rotation.flatten(1) / AXIS_ALIKE], dim=1)


def _opening(y: Tensor) -> Tensor:
    return y[:, HEAD_LOWER_LIP] - y[:, HEAD_UPPER_LIP]


def _width(x: Tensor) -> Tensor:
    return x[:, HEAD_RIGHT_CORNER] - x[:, HEAD_LEFT_CORNER]


def _droop(y: Tensor) -> Tensor:
    corners, lips = [HEAD_LEFT_CORNER, HEAD_RIGHT_CORNER], [HEAD_UPPER_LIP, HEAD_LOWER_LIP]
    return (y[:, corners] - y[:, lips]).mean(1)


def _brows(y: Tensor) -> Tensor:
    return y[:, list(EYES)] - y[:, list(BROWS)]


def _excess(value: Tensor, own: Tensor, least: Tensor | float, most: float) -> Tensor:
    """By how much values lie beyond `bounded`."""
    return value - bounded(value, own, least, most)


def bounded(value: Tensor, own: Tensor, least: Tensor | float, most: Tensor | float) -> Tensor:
    """Values within bounds that are widened to hold the source's own."""
    low = torch.minimum(own, torch.as_tensor(least, dtype=own.dtype))
    high = torch.maximum(own, torch.as_tensor(most, dtype=own.dtype))
    return torch.minimum(torch.maximum(value, low), high)


def inverse(cameras: Tensor) -> Tensor:
    """Of 2 x 2 matrices; not finite where there is none."""
    return torch.linalg.inv_ex(cameras).inverse


def _finite(change: Tensor) -> Tensor:
    return torch.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0)

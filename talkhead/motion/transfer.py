"""Map driving keypoints to the keypoints to render."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import torch
from torch import Tensor

from talkhead.choices import TransferMode
from talkhead.errors import TalkheadError
from talkhead.motion.expression import Expression
from talkhead.motion.hair_transfer import HAIR, HairTransfer
from talkhead.motion.head_pose import HeadRotation
from talkhead.motion.mesh_expression import MeshExpression
from talkhead.motion.mesh_transfer import MeshTransfer, follow_mesh
from talkhead.structs import PLAIN, Keypoints, Strengths, is_known

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Transfer:
    """Maps driving keypoints to the keypoints to render, for one source and one anchor frame.

    relative: the change since the anchor, scaled, is added to the source's own pose.
    absolute: the driving keypoints themselves; the anchor is not used.

    source and anchor are batches of one. Without `adapt_scale` the scale is 1, except for
    keypoints without jacobians, where it is always adapted (as TPSMM defines relative motion).
    landmarks: the keypoints are those of `head_pose`; relative motion then turns the head in space
    and stays within what faces can do. strengths: of its parts, see `Expression`; they need these.
    Raises TalkheadError when relative motion has no anchor or one whose tilt cannot be undone.
    """

    mode: TransferMode
    source: Keypoints
    anchor: Keypoints | None = None
    adapt_scale: bool = True
    landmarks: bool = False
    strengths: Strengths = PLAIN

    def __post_init__(self) -> None:
        if self.mode not in get_args(TransferMode):
            raise TalkheadError(
                f"motion is {' or '.join(get_args(TransferMode))}, not {self.mode!r}"
            )

    def __call__(self, driving: Keypoints) -> Keypoints:
        """Any batch of driving keypoints to as many keypoints to render, in float32."""
        driving = driving.map(Tensor.float)
        moved = driving if self.mode == "absolute" else self._relative(driving)
        if not self.landmarks or (self.mode == "absolute" and not self.strengths.changed):
            return moved
        changed = self._expression(moved)
        if self._hair is not None:
            changed = self._hair(changed, driving)
        if moved.mesh is None or self._mesh_expression is None:
            return changed
        return replace(changed, mesh=self._mesh_expression(moved.mesh))

    def _relative(self, driving: Keypoints) -> Keypoints:
        value = (driving.value - self._anchor.value) * self.scale + self.source.value.float()
        if self.landmarks:
            value = value + self._head_rotation(driving.value)
        jacobian = mesh = None
        if driving.jacobian is not None and self._tilt is not None:
            jacobian = driving.jacobian @ self._tilt
        if driving.mesh is not None and self._mesh is not None:
            mesh = self._mesh(driving.mesh)
        moved = Keypoints(value, jacobian, mesh)
        if mesh is not None and self.landmarks:
            moved = replace(moved, value=follow_mesh(moved, self.source))
        return moved

    @cached_property
    def scale(self) -> float:
        """How much larger the source's face is than the anchor's."""
        if self.mode == "absolute" or not (self.adapt_scale or self.source.jacobian is None):
            return 1.0
        return movement_scale(self.source, self._anchor)

    @cached_property
    def _anchor(self) -> Keypoints:
        if self.anchor is None:
            raise TalkheadError("relative motion needs an anchor frame; use absolute motion")
        return self.anchor.map(Tensor.float)

    @cached_property
    def _head_rotation(self) -> HeadRotation:
        return HeadRotation(self._anchor.value, self.source.value.float(), self.scale)

    @cached_property
    def _expression(self) -> Expression:
        start = self.source if self.mode == "absolute" else self._anchor
        return Expression(self.source, start, self.strengths)

    @cached_property
    def _hair(self) -> HairTransfer | None:
        has_hair = self.source.value.shape[1] >= HAIR.stop
        if self.mode == "absolute" or not has_hair:
            return None
        return HairTransfer(self.source, self._anchor)

    @cached_property
    def _mesh_expression(self) -> MeshExpression | None:
        mesh = self.source.mesh
        if mesh is None or not bool(is_known(mesh).all()):
            return None
        anchor = self._anchor.mesh if self.mode == "relative" else None
        return MeshExpression(mesh.float(), self.strengths, anchor, self.scale)

    @cached_property
    def _mesh(self) -> MeshTransfer | None:
        if self.source.mesh is None or self._anchor.mesh is None:
            return None
        return MeshTransfer(self._anchor.mesh, self.source.mesh.float(), self.scale)

    @cached_property
    def _tilt(self) -> Tensor | None:
        """J_anchor^-1 J_source: the part of (J_driving J_anchor^-1) J_source that stays."""
        if self.source.jacobian is None or self._anchor.jacobian is None:
            return None
        return _invert(self._anchor.jacobian) @ self.source.jacobian.float()


def movement_scale(source: Keypoints, anchor: Keypoints) -> float:
    """sqrt(convex hull area) of the source's keypoints over that of the anchor's; batches of one.

    1.0, with a warning, when either set of keypoints spans no area.
    """
    areas = [hull_area(keypoints.value[0]) for keypoints in (source, anchor)]
    if not all(math.isfinite(area) and area > SMALLEST_AREA for area in areas):
        log.warning("keypoints span no area (%.2g and %.2g): motion is not scaled", *areas)
        return 1.0
    return math.sqrt(areas[0] / areas[1])


# In the units of keypoints, where a picture has area 4: below this all points lie on one line.
SMALLEST_AREA = 1e-8


def hull_area(points: Tensor) -> float:
    """Area of the convex hull of points (K, 2); 0 for fewer than three or points on a line.

    Andrew's monotone chain: a dozen points once per render are not worth a call into scipy.
    """
    rows: list[list[float]] = sorted(points.detach().double().cpu().tolist())
    if not all(math.isfinite(number) for row in rows for number in row):
        return math.nan
    hull: list[list[float]] = []
    for chain in (rows, rows[::-1]):
        start = len(hull)
        for point in chain:
            while len(hull) - start >= 2 and _orientation(hull[-2], hull[-1], point) <= 0:
                hull.pop()
            hull.append(point)
        hull.pop()  # the last of one chain is the first of the other
    shifted = hull[1:] + hull[:1]
    return abs(sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(hull, shifted, strict=True))) / 2


def _orientation(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    """Positive where the way a, b, c turns left (x to the right, y up)."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _invert(matrices: Tensor) -> Tensor:
    """2x2 inverses in closed form: float32 on every device, none of which needs a solver."""
    a, b, c, d = matrices.float().flatten(-2).unbind(-1)
    determinant = a * d - b * c
    if not bool(torch.all(determinant.abs() > 1e-12)):
        raise TalkheadError(
            "the motion of the anchor frame is degenerate, so no motion can be measured from it; "
            "choose another with --anchor N or use --motion absolute"
        )
    adjugate = torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2))
    return adjugate / determinant[..., None, None]

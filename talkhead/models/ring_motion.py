"""Eyes and mouth: the motion between two face meshes, exact where lids and lips meet and part.

Around each lie rings of mesh points. Seen along the line between its corners and across it, the
halves of a ring are curves, one above the opening and one below; what is between two curves of one
mesh moves to what is between the same two of the other. So nothing is left of an eye that shuts,
and lids do not smear what is behind them. Inside an eye the iris keeps its shape [own experiments].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models.grid import identity_grid, sample_at
from talkhead.models.points import mesh_points
from talkhead.topology import (
    IRIS_RIM,
    LEFT_EYE_RINGS,
    LEFT_IRIS,
    LIP_RINGS,
    RIGHT_EYE_RINGS,
    RIGHT_IRIS,
)

PLACES = 64  # along an opening and as many across, between which its motion is interpolated
THINNEST = 1e-5  # what two curves are apart at least, in distances between the corners
# Gains over what a mesh says of lids and irises: it sees less of both [own experiments]. From 1.55
# on closing lids cross.
LID_GAIN, IRIS_GAIN = 1.5, 1.3
NEAREST = 1.3  # radii that an iris's middle stays from a corner, unless the mesh says nearer
MARGIN = 0.02  # beside an iris at the end of its eye, in distances between the corners


@dataclass(frozen=True)
class Axes:
    """Coordinates along and across an opening: (0, 0) and (1, 0) are its corners, down is positive.

    origin: (B, 2). axes: (B, 2, 2).
    """

    origin: Tensor
    axes: Tensor

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> Axes:
        """By its corners (B, 2)."""
        line = right - left
        normal = torch.stack([-line[:, 1], line[:, 0]], dim=-1)
        square = line.square().sum(-1)[:, None, None].clamp(min=THINNEST**2)
        return cls(left, torch.stack([line, normal], dim=-1) / square)

    def __call__(self, points: Tensor) -> Tensor:
        """Points (B, ..., 2) in these coordinates."""
        flat = points.flatten(1, -2) - self.origin[:, None]
        return (flat @ self.axes).view_as(points)


@dataclass(frozen=True)
class RingMotion:
    """The rings around an eye or the mouth, the outermost first, as halves from left to right.

    above, below: (rings, n) points of the mesh. iris: the first of its points, of an eye.
    """

    above: tuple[tuple[int, ...], ...]
    below: tuple[tuple[int, ...], ...]
    iris: int | None = None

    def motion(self, source: Tensor, driving: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Deformation (B, h, w, 2) and its weight (B, h, w).

        source, driving: meshes (B, 478, 2). The weight is 1 within all rings and falls to 0 on the
        outermost.
        """
        axes = self._axes(driving)
        rings = [
            self._amplified(axes(mesh_points(driving, half)), source, half)
            for half in (self.above, self.below)
        ]
        outermost = torch.cat([half[:, 0] for half in rings], dim=1)
        low, high = outermost.amin(1)[:, None], outermost.amax(1)[:, None]  # B 1 2
        steps = torch.linspace(0, 1, PLACES, device=driving.device)[:, None]
        along, across = (low + steps * (high - low)).unbind(-1)  # B P
        heights, origins = self._curves(source, driving, rings, along)
        weight = torch.ones_like(heights)
        weight[:, 0] = weight[:, -1] = 0
        second = _ends(rings[0][:, 1, :, 0])
        ends = torch.cat([low[..., 0], second, high[..., 0]], dim=1)
        inner = piecewise(along, ends, F.pad(along.new_ones(2, 1), (0, 0, 1, 1)))
        curves = torch.cat([origins, (weight * inner[:, None, :, 0])[..., None]], dim=-1)
        table = piecewise(across[:, None], heights.transpose(1, 2), curves.transpose(1, 2))
        places = axes(identity_grid(size, size, driving.device).expand(len(driving), -1, -1, -1))
        within = 2 * (places - low[:, None]) / (high - low)[:, None].clamp(min=THINNEST) - 1
        found = sample_at(table.transpose(1, 2), within.flatten(1, 2)).unflatten(1, (size, size))
        return found[..., :2], found[..., 2]

    def open_share(self, source: Tensor, driving: Tensor) -> Tensor:
        """How far a driving mesh is as open as the source's, (B,): 0 at half of that, 1 at most."""
        above, below = self.above[-1], self.below[-1]
        before, after = (
            (mesh_points(mesh, below) - mesh_points(mesh, above)).norm(dim=-1).mean(1)
            for mesh in (source, driving)
        )
        return (2 * after / before.clamp(min=THINNEST) - 1).clamp(0, 1)

    def _amplified(self, ring: Tensor, source: Tensor, half: tuple[tuple[int, ...], ...]) -> Tensor:
        """Half rings (B, rings, n, 2) of a driving eye, opened or shut further, by `LID_GAIN`."""
        if self.iris is None:
            return ring
        own = self._axes(source)(mesh_points(source, half))
        change = ring - own
        change[:, 1:, :, 1] *= LID_GAIN  # the outermost ring stays
        return own + change

    def _axes(self, mesh: Tensor) -> Axes:
        return Axes.of(*self._corners(mesh))

    def _corners(self, mesh: Tensor) -> tuple[Tensor, Tensor]:
        return mesh[:, self.above[-1][0]], mesh[:, self.above[-1][-1]]

    def _curves(
        self, source: Tensor, driving: Tensor, rings: list[Tensor], along: Tensor
    ) -> tuple[Tensor, Tensor]:
        """From top to bottom, how high each curve is (B, C, P) and where it comes from (..., 2).

        The border is there twice: as that of lids or lips, and as that of what is between them.
        """
        heights, origins = [], []
        matched = along
        if self.iris is not None:
            matched = self._matched(source, driving, along, self.iris)
        axes, (left, right) = self._axes(source), self._corners(source)
        line = (right - left)[:, None, None]
        for half, ring in zip((self.above, self.below), rings, strict=True):
            points = mesh_points(source, half)
            known = torch.cat([ring[..., 1:], points], dim=-1)
            height, origin = piecewise(along[:, None], ring[..., 0], known).split((1, 2), dim=-1)
            border = piecewise(matched, axes(points[:, -1])[..., 0], points[:, -1])
            ends = _ends(torch.cat([ring[..., 0], ring[:, -1:, :, 0]], dim=1))[..., None]
            beyond = along[:, None, :, None] - along[:, None, :, None].clamp(
                ends[:, :, :1], ends[:, :, 1:]
            )
            heights.append(torch.cat([height[..., 0], height[:, -1:, :, 0]], dim=1))
            origins.append(torch.cat([origin, border[:, None]], dim=1) + beyond * line)
        heights[1], origins[1] = heights[1].flip(1), origins[1].flip(1)
        return torch.cat(heights, dim=1), torch.cat(origins, dim=1)

    def _matched(self, source: Tensor, driving: Tensor, along: Tensor, iris: int) -> Tensor:
        """Where along the source's eye the driving eye's places (B, P) are, iris upon iris.

        Irises go further than the mesh says as long as some white is left beside them.
        """
        places, radii = [], []
        for mesh in (driving, source):
            points = self._axes(mesh)(mesh[:, iris : iris + 1 + IRIS_RIM])
            radii.append((points[:, 1:] - points[:, :1]).norm(dim=-1).mean(1))
            places.append(points[:, 0, 0])
        seen, further = places[0], places[1] + IRIS_GAIN * (places[0] - places[1])
        nearest = NEAREST * radii[0]
        places[0] = further.clamp(seen.minimum(nearest), seen.maximum(1 - nearest))
        edges = [
            torch.stack([place - radius, place + radius], dim=1)
            for place, radius in zip(places, radii, strict=True)
        ]
        both = torch.cat(edges, dim=1)
        first = (both.amin(1, keepdim=True) - MARGIN).clamp(max=0)
        last = (both.amax(1, keepdim=True) + MARGIN).clamp(min=1)
        knots, values = (torch.cat([first, each, last], dim=1) for each in edges)
        inside = piecewise(along, knots, values[..., None])[..., 0]
        return torch.where((along > first) & (along < last), inside, along)


def piecewise(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Values (..., n, C) at rising knots (..., n), between them linear, at x (..., X): (..., X, C).

    Where knots do not rise, values step. Before the first and after the last they stay.
    """
    knots = knots.cummax(-1).values
    gaps = knots.diff(dim=-1)[..., None, :] + THINNEST
    passed = ((x[..., None] - knots[..., None, :-1]) / gaps).clamp(0, 1)
    return values[..., :1, :] + passed @ values.diff(dim=-2)


def _ends(row: Tensor) -> Tensor:
    """The first and the last of a row (..., n): (..., 2)."""
    return torch.stack([row[..., 0], row[..., -1]], dim=-1)


LEFT, RIGHT = RingMotion(*LEFT_EYE_RINGS, LEFT_IRIS), RingMotion(*RIGHT_EYE_RINGS, RIGHT_IRIS)
RINGS = (LEFT, RIGHT, RingMotion(*LIP_RINGS))

"""The inside of a mouth: teeth, tongue and dark, drawn where lips part that were closed before.

No deformation can show what the source does not: between lips that open it stretches lips. A small
network sees the mouth of the source, how the deformation bends it, and where the driving lips are
to be, all in squares around the mouths, and draws what lies between them [own experiments].
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.models.autoencoder import (
    AttentionBlock,
    Downsample,
    ResBlock,
    Upsample,
    group_norm,
    swish,
)
from talkhead.models.blending import Blended
from talkhead.models.grid import identity_grid, sample, sample_at, warp
from talkhead.models.mesh import fill
from talkhead.models.points import mesh_points
from talkhead.structs import Keypoints, SourceState, is_known
from talkhead.topology import INNER_LIPS, LIP_RINGS, MOUTH_CORNERS, OUTER_LIPS

SIZE = 80  # of the squares: as fine as mouths are in pictures of 256 pixels
AROUND = 1.3  # side of a square, in the larger of width and height of the lips
WIDTHS, GROUPS = (16, 32, 48, 64), 8  # of the features, fine to coarse
THINNEST = 1e-4  # side of a square at least, in grid units
# Channels: the source, the warped source, maps: inside of both mouths, lips of the driving one.
SOURCE, WARPED, MAPS = slice(0, 3), slice(3, 6), slice(6, 9)
DRIVING_INSIDE = 7  # which of them it is
# Gaps of lips, over the mouth's width, from which on it is drawn, and wholly.
NARROW, WIDE = 0.075, 0.13
WARM = 0.1  # of what is drawn, from which on no colour is colder than red
CHANGED = 0.2  # of the 2 from black to white, after which nothing is left of the source's detail


@dataclass(frozen=True)
class Square:
    """Squares around mouths, upright to the line between the corners.

    centre: (B, 2), in grid units. half: (B,), half a side. right: (B, 2), of length 1.
    """

    centre: Tensor
    half: Tensor
    right: Tensor

    @classmethod
    def around(cls, mesh: Tensor) -> Square:
        """The mouths of meshes (B, 478, 2)."""
        mesh = mesh[..., :2].float()
        left, right = (mesh[:, corner] for corner in MOUTH_CORNERS)
        unit = F.normalize(right - left, dim=-1, eps=THINNEST)
        lips = _turned(mesh_points(mesh, OUTER_LIPS), unit)
        low, high = lips.amin(1), lips.amax(1)
        half = (AROUND / 2 * (high - low).amax(-1)).clamp(min=THINNEST)
        return cls(_turned((low + high)[:, None] / 2, _mirrored(unit))[:, 0], half, unit)

    def inside(self, points: Tensor) -> Tensor:
        """Points (B, n, 2) of the picture in the square, -1 and 1 at its border pixels."""
        return _turned(points - self.centre[:, None], self.right) / self.half[:, None, None]

    def places(self, size: int) -> Tensor:
        """Where in the picture the square's pixels lie, (B, size, size, 2)."""
        grid = identity_grid(size, size, device=self.half.device).flatten(0, 1)
        back = _turned(grid.expand(len(self.half), -1, -1), _mirrored(self.right))
        found = self.centre[:, None] + self.half[:, None, None] * back
        return found.unflatten(1, (size, size))


def _mirrored(right: Tensor) -> Tensor:
    """Directions (B, 2) that turn back."""
    return torch.stack([right[:, 0], -right[:, 1]], dim=-1)


def _turned(points: Tensor, right: Tensor) -> Tensor:
    """Points (B, n, 2) turned so that `right` (B, 2) becomes (1, 0)."""
    down = torch.stack([-right[:, 1], right[:, 0]], dim=-1)
    return points @ torch.stack([right, down], dim=-1)


class MouthPainter(nn.Module):
    """Draws the insides of mouths: a U-net over `SIZE` x `SIZE` pixels."""

    def __init__(self) -> None:
        super().__init__()
        first, *_ = WIDTHS
        self.stem = nn.Conv2d(MAPS.stop, first, 3, padding=1)
        pairs = list(pairwise(WIDTHS))
        self.before = nn.ModuleList(ResBlock(width, width, GROUPS) for width in WIDTHS[:-1])
        self.downs = nn.ModuleList(
            nn.Sequential(Downsample(fine), nn.Conv2d(fine, coarse, 1)) for fine, coarse in pairs
        )
        self.middle = nn.Sequential(
            ResBlock(WIDTHS[-1], WIDTHS[-1], GROUPS),
            AttentionBlock(WIDTHS[-1], GROUPS),
            ResBlock(WIDTHS[-1], WIDTHS[-1], GROUPS),
        )
        self.ups = nn.ModuleList(Upsample(coarse) for _, coarse in reversed(pairs))
        self.after = nn.ModuleList(
            ResBlock(coarse + fine, fine, GROUPS) for fine, coarse in reversed(pairs)
        )
        self.norm = group_norm(first, GROUPS)
        self.out = nn.Conv2d(first, 3, 3, padding=1)
        for parameter in self.out.parameters():  # it begins as the warped source
            nn.init.zeros_(parameter)

    def forward(self, seen: Tensor) -> Tensor:
        """(B, 9, S, S) -> what to add to the warped source, (B, 3, S, S)."""
        x, skips = self.stem(seen), []
        for before, down in zip(self.before, self.downs, strict=True):
            skips.append(before(x))
            x = down(skips[-1])
        x = self.middle(x)
        for up, after in zip(self.ups, self.after, strict=True):
            x = after(torch.cat([up(x), skips.pop()], dim=1))
        return self.out(swish(self.norm(x)))

    def inputs(self, image: Tensor, motion: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """What `forward` sees, of a source image (B, 3, H, W) in [-1, 1] and its final deformation.

        source, driving: meshes (B, 478, 2). Beyond the image its rim goes on.
        """
        squares = Square.around(source), Square.around(driving)
        before, after = (square.places(SIZE).clamp(-1, 1) for square in squares)
        warped = sample_at(motion, after.flatten(1, 2)).unflatten(1, (SIZE, SIZE)).clamp(-1, 1)
        own, moved = (sample(image, grid, True) for grid in (before, warped))
        maps = [
            fill(square.inside(mesh_points(mesh, ring)[..., :2].float()), SIZE)[:, None]
            for square, mesh, ring in (
                (squares[0], source, INNER_LIPS),
                (squares[1], driving, INNER_LIPS),
                (squares[1], driving, OUTER_LIPS),
            )
        ]
        return torch.cat([own, moved, *(each.to(image.dtype) for each in maps)], dim=1)

    def paint(
        self, drawn: Blended, state: SourceState, motion: Tensor, driving: Keypoints
    ) -> tuple[Tensor, Tensor]:
        """The image (B, 3, H, W) with its mouth drawn, and how far that is not the source.

        The second is (B, 1, H, W) in [0, 1]. motion: the final deformation. Where meshes are not
        known the image stays as it is.
        """
        image, untouched = drawn.image, torch.zeros_like(drawn.kept)
        if state.keypoints.mesh is None or driving.mesh is None:
            return image, untouched
        both = is_known(state.keypoints.mesh) * is_known(driving.mesh)
        wanted = both * parted(driving.mesh)
        if wanted.device.type == "cpu" and not bool(wanted.any()):  # a GPU would be waited for
            return image, untouched
        size = (image.shape[-2], image.shape[-1])
        seen = self.inputs(state.image, motion, state.keypoints.mesh, driving.mesh)
        share = opened(seen) * wanted[:, None, None, None]
        places = Square.around(driving.mesh).inside(
            identity_grid(*size, device=image.device).flatten(0, 1).expand(len(image), -1, -1)
        )
        squares = torch.cat([self(seen).float() * share, share], dim=1)
        laid = sample(squares, places.unflatten(1, size), align_corners=True)
        added, share = laid[:, :3], laid[:, 3:]
        warped = warp(state.image, motion) if drawn.warped is None else drawn.warped
        painted = (1 - share) * image + share * warped + added
        # Nothing in a mouth is greener or bluer than red: teeth that were added to red lips can be
        # [own experiments].
        red, others = painted[:, :1], painted[:, 1:]
        others = torch.lerp(others, torch.minimum(others, red), (share / WARM).clamp(max=1))
        painted = torch.cat([red, others], dim=1)
        return painted, (added.abs().mean(1, keepdim=True) / CHANGED).clamp(max=1)


def parted(mesh: Tensor) -> Tensor:
    """Whether lips of meshes (B, 478, 2) are apart, (B,) from 0 to 1: by the median of their gaps.

    Mouths that are nearly shut, or open at one point alone as moved meshes may be, stay as they are
    warped: what would be drawn there is a spot [own experiments].
    """
    above, below = (mesh_points(mesh, half[-1])[..., :2].float() for half in LIP_RINGS)
    gaps = (below - above)[:, 1:-1].norm(dim=-1)
    width = (above[:, -1] - above[:, 0]).norm(dim=-1).clamp(min=THINNEST)
    return ((gaps.median(1).values / width - NARROW) / (WIDE - NARROW)).clamp(0, 1)


def opened(seen: Tensor) -> Tensor:
    """Where mouths may be drawn, (B, 1, S, S): between the driving lips and a little on them."""
    between, lips = seen[:, DRIVING_INSIDE:].float().split(1, dim=1)
    wider = F.avg_pool2d(F.max_pool2d(between, 5, 1, 2), 3, 1, 1)
    return torch.minimum(wider, lips)

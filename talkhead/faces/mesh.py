"""The face meshes: networks that place the points of one face in a picture of it.

MediaPipe's face mesh (468 points, and how sure it is that there is a face) and its attention mesh
(478 points: irises, and lips and eyelids looked at a second time), as torch modules. Both take
pictures of 192 x 192 pixels around the face, see `regions`; pixels are areas, so that the centre of
the first lies at 0.5.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.faces.blocks import Block, BundledNetwork, Narrow, Stem, rotation
from talkhead.topology import (
    LEFT_EYE_CORNERS,
    LEFT_EYE_REFINED,
    LIPS_REFINED,
    MOUTH_CORNERS,
    NUM_LIDS,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_REFINED,
    SKIN_POINTS,
)

# Each part that is looked at a second time: its points, and two of them that are to be level.
_PARTS = (
    (LIPS_REFINED, MOUTH_CORNERS),
    (LEFT_EYE_REFINED, LEFT_EYE_CORNERS),
    (RIGHT_EYE_REFINED, RIGHT_EYE_CORNERS),
)
_STRIDE = 4  # picture pixels per pixel of the features that parts are cut from
_PART_SIDE, _PART_MARGIN = 16, 1.5  # of a part's cut: feature pixels; size over the points' box
_IRIS_POINTS = 5


class FaceMesh468(BundledNetwork):
    """The face mesh of 468 points, which also says whether there is a face.

    Images (B, 3, 192, 192), RGB in [0, 1] -> points (B, 468, 3) in pixels of the 192, and the logit
    (B,) of "there is a face here". It judges presence best: the attention mesh takes ovals and
    moons for faces. Depth has the scale of x, smaller is nearer. Differentiable.
    """

    FILE = "mesh468.safetensors"

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            Stem(),
            *(Block(16, 16), Block(16, 16), Block(16, 32, 2)),
            *(Block(32, 32), Block(32, 32), Block(32, 64, 2)),
            *(Block(64, 64), Block(64, 64), Block(64, 128, 2)),
            *(Block(128, 128), Block(128, 128), Block(128, 128, 2)),
            *(Block(128, 128), Block(128, 128)),
        )
        self.points = nn.Sequential(
            *(Block(128, 128, 2), Block(128, 128), Block(128, 128), Narrow(128, 32)),
            *(Block(32, 32), nn.Conv2d(32, SKIN_POINTS * 3, 3)),
        )
        self.presence = nn.Sequential(
            Block(128, 128, 2), Narrow(128, 32), Block(32, 32), nn.Conv2d(32, 1, 3)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, 468, 3) in pixels of the 192, and a logit (B,) of there being a face."""
        features = self.trunk(images.contiguous(memory_format=torch.channels_last))
        return self.points(features).view(-1, SKIN_POINTS, 3), self.presence(features).view(-1)


class FaceMesh478(BundledNetwork):
    """Images (B, 3, 192, 192), RGB in [0, 1] -> points (B, 478, 3) in pixels of the 192.

    Differentiable; where lips and eyes are looked at follows from the mesh, and no gradient flows
    through that choice.
    """

    FILE = "mesh478.safetensors"

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(Stem(), Block(16, 16), Block(16, 16), Block(16, 32, 2))
        self.trunk = nn.Sequential(
            *(Block(32, 32), Block(32, 32), Block(32, 64, 2)),
            *(Block(64, 64), Block(64, 64), Block(64, 128, 2)),
            *(Block(128, 128), Block(128, 128), Block(128, 128, 2)),
            *(Block(128, 128), Block(128, 128), Block(128, 128, 2)),
            *(Block(128, 128), Block(128, 128), Narrow(128, 32), Block(32, 32)),
        )
        self.points = nn.Conv2d(32, SKIN_POINTS * 3, 3)
        self.parts = nn.ModuleList(_part_encoder() for _ in _PARTS)
        self.contours = nn.ModuleList(_part_head(len(points)) for points, _ in _PARTS)
        self.irises = nn.ModuleList(_part_head(_IRIS_POINTS) for _ in _PARTS[1:])

    def forward(self, images: Tensor) -> Tensor:
        """Points (B, 478, 3), see the class."""
        fine = self.fine(images.contiguous(memory_format=torch.channels_last))
        mesh = self.points(self.trunk(fine)).view(-1, SKIN_POINTS, 3)
        xy, depth = mesh[..., :2].clone(), mesh[..., 2:]
        irises = []
        for number, (points, level) in enumerate(_PARTS):
            cut = _PartCut(mesh[..., :2].detach(), points, level)
            features = self.parts[number](cut(fine))
            xy[:, points] = cut.to_image(self.contours[number](features))
            if number:
                iris = cut.to_image(self.irises[number - 1](features))
                lids = depth[:, points[:NUM_LIDS]].mean(1, keepdim=True)
                irises.append(torch.cat([iris, lids.expand(-1, _IRIS_POINTS, -1)], -1))
        return torch.cat([torch.cat([xy, depth], -1), *irises], 1)


def _part_encoder() -> nn.Sequential:
    return nn.Sequential(
        *(Block(32, 32), Block(32, 32), Block(32, 64, 2)),
        *(Block(64, 64), Block(64, 64), Block(64, 128, 2)),
    )


def _part_head(points: int) -> nn.Sequential:
    """(B, 128, 4, 4) -> (B, points, 2), in pixels of the picture from the cut's corner."""
    return nn.Sequential(
        *(Block(128, 128), Block(128, 128), Block(128, 128, 2), Block(128, 128), Block(128, 128)),
        *(Narrow(128, 32), Block(32, 32), nn.Conv2d(32, 2 * points, 2)),
        nn.Flatten(),
        nn.Unflatten(1, (points, 2)),
    )


class _PartCut:
    """The rectangle around a part of the face, turned so that two of its points are level.

    xy: the mesh (B, 468, 2) in pixels of the picture.
    """

    def __init__(self, xy: Tensor, points: tuple[int, ...], level: tuple[int, int]) -> None:
        dx, dy = (xy[:, level[1]] - xy[:, level[0]]).unbind(-1)
        axes = rotation(torch.atan2(dy, dx))
        turned = xy[:, points] @ axes
        low, high = turned.amin(1, keepdim=True), turned.amax(1, keepdim=True)
        self._centre = (low + high) / 2 @ axes.mT / _STRIDE  # (B, 1, 2), feature pixels
        # From pixels of the cut, about its centre, to feature pixels: (B, 2, 2).
        self._matrix = axes * (_PART_MARGIN * (high - low) / _STRIDE / _PART_SIDE)

    def __call__(self, features: Tensor) -> Tensor:
        """Features (B, C, 48, 48) -> (B, C, 16, 16)."""
        height, width = features.shape[-2:]
        steps = torch.arange(_PART_SIDE, device=features.device, dtype=features.dtype)
        steps = steps + 0.5 - _PART_SIDE / 2
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        xy = torch.stack([x, y], -1).view(1, -1, 2) @ self._matrix.mT + self._centre
        limits = xy.new_tensor([width, height])
        # MediaPipe takes 0 for all that is not between four feature pixels.
        inside = ((xy >= 0.5) & (xy <= limits - 0.5)).all(-1).view(-1, 1, _PART_SIDE, _PART_SIDE)
        grid = (2 * xy / limits - 1).view(-1, _PART_SIDE, _PART_SIDE, 2)
        return F.grid_sample(features, grid, align_corners=False) * inside

    def to_image(self, points: Tensor) -> Tensor:
        """What a head answers (B, n, 2) as pixels of the picture.

        The heads count in feature pixels of the unscaled cut times the stride.
        """
        offsets = points - _PART_SIDE / 2 * _STRIDE
        return offsets @ self._matrix.mT + _STRIDE * self._centre

"""Keypoints in groups and the thin-plate splines between them (TPSMM, CVPR 2022).

Everything about splines is computed in float32 and by sums instead of matrix products, so that
autocast cannot touch it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.config import TpsmmConfig
from talkhead.models.blocks import AntiAliasDownsample, Hourglass, UpBlock
from talkhead.models.grid import gaussian_maps, identity_grid, warp
from talkhead.models.resnet import ResNet18
from talkhead.structs import DenseMotion, Keypoints

KERNEL_EPSILON = 1e-9  # inside the logarithm (release)
RIDGE = 0.01  # parity: on the whole diagonal of the system, the zero block included


@dataclass(frozen=True)
class Splines:
    """G thin-plate splines that map driving coordinates to source coordinates.

    affine:  (B, G, 2, 3), of (x, y, 1).
    weights: (B, G, n, 2), of the kernel around each centre.
    centres: (B, G, n, 2), the driving points.
    """

    affine: Tensor
    weights: Tensor
    centres: Tensor

    def __call__(self, grid: Tensor) -> Tensor:
        """Where the points of grid (h, w, 2) come from: (B, G, h, w, 2)."""
        offsets = grid - self.centres[:, :, :, None, None, :]
        kernel = radial_kernel(offsets.square().sum(-1))
        bent = (kernel[..., None] * self.weights[:, :, :, None, None, :]).sum(2)
        linear = (self.affine[:, :, None, None, :, :2] * grid[..., None, :]).sum(-1)
        return linear + self.affine[:, :, None, None, :, 2] + bent


def radial_kernel(squared_distance: Tensor) -> Tensor:
    """r^2 log r^2, the kernel of thin plates."""
    return squared_distance * torch.log(squared_distance + KERNEL_EPSILON)


def fit_splines(source: Tensor, driving: Tensor) -> Splines:
    """Splines that take the driving points (B, G, n, 2) close to the source points, same shape."""
    source, driving = source.float(), driving.float()
    n = driving.shape[2]
    distance = (driving[:, :, :, None] - driving[:, :, None]).square().sum(-1)
    plane = F.pad(driving, (0, 1), value=1.0)
    top = torch.cat([radial_kernel(distance), plane], dim=3)
    bottom = F.pad(plane.transpose(2, 3), (0, 3))
    system = torch.cat([top, bottom], dim=2)
    system = system + RIDGE * torch.eye(n + 3, device=system.device)
    solution = torch.linalg.solve(system, F.pad(source, (0, 0, 0, 3)))
    return Splines(solution[:, :, n:].transpose(2, 3), solution[:, :, :n], driving)


class PointDetector(nn.Module):
    """Images (B, 3, H, W) -> Keypoints without jacobians, group after group."""

    def __init__(self, config: TpsmmConfig) -> None:
        super().__init__()
        num_points = config.num_groups * config.group_size
        self.encoder = ResNet18(3, 2 * num_points, config.encoder_channels)

    def forward(self, images: Tensor) -> Keypoints:
        """(B, 3, H, W) -> keypoints (B, K, 2)."""
        squashed = torch.sigmoid(self.encoder(images).float())
        return Keypoints((2 * squashed - 1).unflatten(1, (-1, 2)))


class SplineMotionEstimator(nn.Module):
    """Blends splines and background into one deformation, and predicts occlusion at every scale."""

    def __init__(self, config: TpsmmConfig) -> None:
        super().__init__()
        self.config = config
        own = config.dense_motion
        num_points = config.num_groups * config.group_size
        self.down = AntiAliasDownsample(3, config.image_size // own.size)
        self.hourglass = Hourglass(
            own.base_channels,
            num_points + 1 + 3 * (config.num_groups + 1),
            own.num_blocks,
            own.max_channels,
            norm="instance",
        )
        channels = self.hourglass.out_channels
        self.maps = nn.Conv2d(channels, config.num_groups + 1, 7, padding=3)
        # Feature maps up to the motion's own size have a decoder step; larger ones need more.
        sizes = [config.image_size >> i for i in reversed(range(len(config.channels)))]
        num_up = sum(size > own.size for size in sizes)
        self.num_steps = len(sizes) - num_up
        widths = [channels // 2**i for i in range(num_up + 1)]
        self.up = nn.ModuleList(UpBlock(a, b, norm="instance") for a, b in pairwise(widths))
        inputs = self.hourglass.step_channels[-self.num_steps :] + widths[1:]
        self.occlusion = nn.ModuleList(nn.Conv2d(c, 1, 7, padding=3) for c in inputs)

    def forward(
        self,
        small: Tensor,
        source: Keypoints,
        driving: Keypoints,
        background: Tensor | None = None,
        dropout: float = 0.0,
    ) -> DenseMotion:
        """`small` (B, 3, h, w) is the source after `self.down`.

        background: (B, 3, 3), homogeneous affine motion of the background; None: it stands still.
        dropout:    chance to ignore each of the splines.
        """
        height, width = small.shape[-2:]
        motions = self.candidates(source, driving, (height, width), background)
        heatmap = gaussian_maps(driving.value, (height, width))
        inputs = self._inputs(small, motions, heatmap, source)
        steps = self.hourglass(inputs.to(small.dtype))
        mask = drop_softmax(self.maps(steps[-1]).float(), dropout)
        deformation = (mask[..., None] * motions).sum(1)
        return DenseMotion(deformation, self._occlusions(steps), mask, heatmap)

    def candidates(
        self,
        source: Keypoints,
        driving: Keypoints,
        size: tuple[int, int],
        background: Tensor | None = None,
    ) -> Tensor:
        """Candidate motions (B, G + 1, h, w, 2): the background, then one spline per group."""
        groups = (self.config.num_groups, self.config.group_size)
        grid = identity_grid(*size, device=driving.value.device)
        splines = fit_splines(source.value.unflatten(1, groups), driving.value.unflatten(1, groups))
        still = grid.expand(len(driving), 1, *grid.shape)
        behind = still if background is None else move_affinely(grid, background)[:, None]
        return torch.cat([behind, splines(grid)], dim=1)

    def _inputs(self, small: Tensor, motions: Tensor, heatmap: Tensor, source: Keypoints) -> Tensor:
        """All heatmap differences (a zero map first), then all warped images."""
        height, width = small.shape[-2:]
        difference = heatmap - gaussian_maps(source.value, (height, width))
        difference = F.pad(difference, (0, 0, 0, 0, 1, 0))
        copies = small[:, None].expand(-1, motions.shape[1], -1, -1, -1).flatten(0, 1)
        warped = warp(copies, motions.flatten(0, 1)).unflatten(0, motions.shape[:2])
        return torch.cat([difference.to(small.dtype), warped.flatten(1, 2)], dim=1)

    def _occlusions(self, steps: list[Tensor]) -> tuple[Tensor, ...]:
        """One map per scale of the generator, coarse to fine."""
        features = steps[-self.num_steps :]
        for up in self.up:
            features.append(up(features[-1]))
        return tuple(
            torch.sigmoid(head(feature).float())
            for head, feature in zip(self.occlusion, features, strict=True)
        )


def move_affinely(grid: Tensor, matrix: Tensor) -> Tensor:
    """Apply a homogeneous affine (B, 3, 3) to the points of grid (h, w, 2): (B, h, w, 2)."""
    points = F.pad(grid, (0, 1), value=1.0)
    moved = (matrix.float()[:, None, None] * points[..., None, :]).sum(-1)
    return moved[..., :2] / moved[..., 2:]


def drop_softmax(logits: Tensor, dropout: float) -> Tensor:
    """Softmax over candidates (B, G + 1, h, w), each but the first left out with a chance."""
    if dropout == 0:
        return F.softmax(logits, dim=1)
    kept = torch.rand(logits.shape[:2], device=logits.device) >= dropout
    kept[:, 0] = True
    return F.softmax(logits.masked_fill(~kept[:, :, None, None], -torch.inf), dim=1)

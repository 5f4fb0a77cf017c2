"""Random warps of images, for the equivariance loss (FOMM, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from talkhead.models.grid import identity_grid, matmul_2x2, resize_grid, warp

CONTROL_POINTS = 5  # per side (all four releases)
COARSE = 65  # grid points per side where splines are computed for pictures; linear between them
Kernel = Literal["l1", "l2"]
EPSILON = {"l1": 1e-6, "l2": 1e-9}  # inside the logarithm (releases)


@dataclass(frozen=True)
class RandomWarp:
    """An affine map plus a thin-plate spline, one per item; one spline moves both x and y.

    affine: (B, 2, 3). weights: (B, 25), of the kernels around a 5 x 5 grid of control points.
    kernel: d^2 log(d + 1e-6) with d = |dx| + |dy| ("l1"), or r^2 log(r^2 + 1e-9) ("l2").
    """

    affine: Tensor
    weights: Tensor
    kernel: Kernel = "l1"

    def __call__(self, points: Tensor) -> Tensor:
        """Where the points (B, n, 2) go."""
        linear = matmul_2x2(self.affine[:, None, :, :2], points[..., None])[..., 0]
        return linear + self.affine[:, None, :, 2] + bend(points, self.weights, self.kernel)

    def jacobian(self, points: Tensor) -> Tensor:
        """Derivative at the points (B, n, 2): (B, n, 2, 2)."""
        slope = (slopes(points, self.kernel) * self.weights[:, None, :, None]).sum(2)
        return self.affine[:, None, :, :2] + slope[..., None, :]  # the same row for x and y

    def apply(self, images: Tensor) -> Tensor:
        """The images (B, C, H, W) that show at z what was at warp(z); edges are reflected."""
        grid = identity_grid(COARSE, COARSE, images.device).flatten(0, 1)
        moved = self(grid.expand(len(images), -1, -1)).unflatten(1, (COARSE, COARSE))
        size = (images.shape[-2], images.shape[-1])
        return warp(images, reflect(resize_grid(moved, size)))


def bend(points: Tensor, weights: Tensor, kernel: Kernel) -> Tensor:
    """A spline (B, 25) at points (B, n, 2): (B, n, 1), to be added to both x and y."""
    return (kernels(points, kernel) * weights[:, None]).sum(-1, keepdim=True)


def kernels(points: Tensor, kernel: Kernel) -> Tensor:
    """All kernels at points (B, n, 2): (B, n, 25)."""
    d = _distance(_offsets(points), kernel)
    return d * torch.log(d + EPSILON["l2"]) if kernel == "l2" else d.square() * _log(d)


def slopes(points: Tensor, kernel: Kernel) -> Tensor:
    """Derivatives of all kernels at points (B, n, 2): (B, n, 25, 2)."""
    offsets = _offsets(points)
    d = _distance(offsets, kernel)
    if kernel == "l1":
        slope = 2 * d * _log(d) + d.square() / (d + EPSILON["l1"])
        return slope[..., None] * offsets.sign()
    epsilon = EPSILON["l2"]
    return ((torch.log(d + epsilon) + d / (d + epsilon)) * 2)[..., None] * offsets


def _offsets(points: Tensor) -> Tensor:
    controls = identity_grid(CONTROL_POINTS, CONTROL_POINTS, points.device).flatten(0, 1)
    return points.float()[:, :, None] - controls


def _distance(offsets: Tensor, kernel: Kernel) -> Tensor:
    """|dx| + |dy|, or dx^2 + dy^2."""
    return offsets.abs().sum(-1) if kernel == "l1" else offsets.square().sum(-1)


def _log(distance: Tensor) -> Tensor:
    return torch.log(distance + EPSILON["l1"])


def draw_warp(rng: np.random.Generator, affine: float, bend: float) -> np.ndarray:
    """Numbers of one warp: 6 of the affine map, 25 of the spline; standard deviations given."""
    identity = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    return np.concatenate(
        [identity + rng.normal(0, affine, 6), rng.normal(0, bend, CONTROL_POINTS**2)]
    ).astype(np.float32)


def stack_warps(numbers: list[np.ndarray], kernel: Kernel) -> RandomWarp:
    """One warp per item from what `draw_warp` drew."""
    stacked = torch.from_numpy(np.stack(numbers))
    return RandomWarp(stacked[:, :6].unflatten(1, (2, 3)), stacked[:, 6:], kernel)


def reflect(grid: Tensor) -> Tensor:
    """Fold coordinates beyond -1 and 1 back inside, as a mirror at the border would."""
    return 1 - (torch.remainder(grid + 1, 4) - 2).abs()

"""Random warps of pictures and the demand that keypoints follow them (FOMM, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from talkhead.models.grid import identity_grid, inverse_2x2, matmul_2x2, warp
from talkhead.structs import Keypoints

CONTROL_POINTS = 5  # per side (all four releases)
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
        _, slopes = kernels(points, self.kernel)
        slope = (slopes * self.weights[:, None, :, None]).sum(2)
        return self.affine[:, None, :, :2] + slope[..., None, :]  # the same row for x and y

    def apply(self, images: Tensor) -> Tensor:
        """The images (B, C, H, W) that show at z what was at warp(z); edges are reflected."""
        height, width = images.shape[-2:]
        grid = identity_grid(height, width, images.device).flatten(0, 1)
        moved = self(grid.expand(len(images), -1, -1)).unflatten(1, (height, width))
        return warp(images, reflect(moved))

    def __getitem__(self, items: slice) -> RandomWarp:
        return RandomWarp(self.affine[items], self.weights[items], self.kernel)

    def to(self, device: torch.device) -> RandomWarp:
        return RandomWarp(self.affine.to(device), self.weights.to(device), self.kernel)


def bend(points: Tensor, weights: Tensor, kernel: Kernel) -> Tensor:
    """A spline (B, 25) at points (B, n, 2): (B, n, 1), to be added to both x and y."""
    values, _ = kernels(points, kernel)
    return (values * weights[:, None]).sum(-1, keepdim=True)


def kernels(points: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """All kernels at points (B, n, 2): values (B, n, 25) and derivatives (B, n, 25, 2)."""
    controls = identity_grid(CONTROL_POINTS, CONTROL_POINTS, points.device).flatten(0, 1)
    offsets = points.float()[:, :, None] - controls
    epsilon = EPSILON[kernel]
    if kernel == "l1":
        d = offsets.abs().sum(-1)
        log = torch.log(d + epsilon)
        slope = 2 * d * log + d.square() / (d + epsilon)
        return d.square() * log, slope[..., None] * offsets.sign()
    s = offsets.square().sum(-1)
    log = torch.log(s + epsilon)
    return s * log, ((log + s / (s + epsilon)) * 2)[..., None] * offsets


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


def equivariance(found: Keypoints, moved: Keypoints, change: RandomWarp) -> dict[str, Tensor]:
    """Distance of keypoints from where the warp puts those of the warped picture.

    found: keypoints of the picture; moved: of the picture as `change.apply` warps it.
    """
    losses = {"equivariance_value": (found.value - change(moved.value)).abs().mean()}
    if found.jacobian is not None and moved.jacobian is not None:
        transported = matmul_2x2(change.jacobian(moved.value), moved.jacobian)
        product = matmul_2x2(inverse_2x2(found.jacobian), transported)
        identity = torch.eye(2, device=product.device)
        losses["equivariance_jacobian"] = (identity - product).abs().mean()
    return losses

"""Coordinate grids and everything that samples at them: the only place that calls `grid_sample`.

Coordinates are x then y, with -1 and 1 at the *centres* of the border pixels. Everything here
computes in float32, whatever the precision of the features: half-precision grids lose pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

KEYPOINT_VARIANCE = 0.01  # of the Gaussian maps, in squared grid units (all four releases)
LEAST_EXPONENT = -40.0  # of such a map: e^-40 counts for nothing, and smaller numbers slow a CPU


def identity_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Each pixel's own coordinates, float32 (h, w, 2)."""
    y = torch.linspace(-1, 1, height, device=device)
    x = torch.linspace(-1, 1, width, device=device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def resize(features: Tensor, size: tuple[int, int], *, align_corners: bool = True) -> Tensor:
    """Bilinear resize of (B, C, h, w); by default the border pixels' centres stay in place."""
    if features.shape[-2:] == size:
        return features
    return F.interpolate(features, size=size, mode="bilinear", align_corners=align_corners)


def shrink(images: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) reduced to (B, C, size, size) without aliasing, centres in place."""
    if images.shape[-2:] == (size, size):
        return images
    shrunk = F.interpolate(  # in float32: a CPU cannot in half precision
        images.float(), size=(size, size), mode="bilinear", align_corners=True, antialias=True
    )
    return shrunk.to(images.dtype)


def thin(features: Tensor, size: int) -> Tensor:
    """The pixels of square features (B, C, S, S) that `resize` to (size, size) looks at.

    (B, C, 2 size, 2 size), or all of them where these are no fewer. What is done to pixels one by
    one may be done to these alone: `resize_thinned(f(thin(x, n)), S, n)` equals
    `resize(f(x), (n, n))`.
    """
    if features.shape[-1] <= 2 * size:
        return features
    near, _ = _neighbours(features.shape[-1], size, features.device)
    return features.index_select(2, near).index_select(3, near)


def resize_thinned(thinned: Tensor, whole: int, size: int) -> Tensor:
    """The rest of resizing features of `whole` pixels a side to (B, C, size, size), see `thin`."""
    if whole <= 2 * size:
        return resize(thinned, (size, size))
    _, share = _neighbours(whole, size, thinned.device)
    pairs = thinned.unflatten(2, (size, 2))
    rows = torch.lerp(pairs[:, :, :, 0], pairs[:, :, :, 1], share[:, None].to(thinned.dtype))
    pairs = rows.unflatten(3, (size, 2))
    return torch.lerp(pairs[..., 0], pairs[..., 1], share.to(thinned.dtype))


def _neighbours(whole: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """How to interpolate `size` places among `whole` pixels, ends aligned.

    For each place both neighbours (2 size,) in turn, and the share (size,) of the second.
    """
    place = torch.arange(size, device=device) * ((whole - 1) / (size - 1))
    first = place.floor().clamp(max=whole - 2)
    near = torch.stack([first, first + 1], dim=1).flatten().long()
    return near, place - first


def resize_grid(grid: Tensor, size: tuple[int, int], *, align_corners: bool = True) -> Tensor:
    """Bilinear resize of a deformation grid (B, h, w, 2)."""
    if grid.shape[1:3] == size:
        return grid
    resized = resize(grid.permute(0, 3, 1, 2), size, align_corners=align_corners)
    return resized.permute(0, 2, 3, 1)


def warp(features: Tensor, grid: Tensor, *, align_corners: bool = True) -> Tensor:
    """Sample `features` (B, C, h, w) at `grid` (B, h', w', 2); returns the features' own size.

    A grid of another size is resized first. It points *backwards*: the entry for an output pixel
    says where in the source to look. Outside the image reads zero.
    """
    grid = resize_grid(grid.float(), (features.shape[-2], features.shape[-1]))
    return sample(features, grid, align_corners)


def warp_thin(features: Tensor, grid: Tensor, size: int) -> Tensor:
    """`thin(warp(features, grid), size)`, without warping the other pixels."""
    grid = resize_grid(grid.float(), (features.shape[-2], features.shape[-1]))
    thinned = thin(grid.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
    return sample(features, thinned, align_corners=True)


def pixel_flow(grid: Tensor, *, align_corners: bool = True) -> Tensor:
    """A deformation grid (B, S, S, 2) as the way from each pixel to where it looks.

    (B, 2, S, S), x then y, in pixels. `align_corners`: whether -1 and 1 are, to who samples by
    this grid, the centres of the border pixels or their outer edges.
    """
    size = grid.shape[1]
    scale = (size - 1) / 2 if align_corners else size / 2
    pixels = torch.arange(size, device=grid.device) - (size - 1) / 2
    places = grid.float() * scale
    return torch.stack([places[..., 0] - pixels, places[..., 1] - pixels[:, None]], dim=1)


def rescale(maps: Tensor, size: int) -> Tensor:
    """Maps (B, C, s, s) as (B, C, size, size), float32; pixels are areas, as in photos.

    Reducing averages these areas, enlarging is bilinear.
    """
    if maps.shape[-1] >= size:
        return F.adaptive_avg_pool2d(maps.float(), size)
    return F.interpolate(maps.float(), size=(size, size), mode="bilinear", align_corners=False)


def sample_areas(maps: Tensor, places: Tensor) -> Tensor:
    """Maps (B, C, s, s) at places (1, h, w, 2), -1 and 1 at their edges; float32 (B, C, h, w).

    Beyond the maps their rim goes on.
    """
    places = places.expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps.float(), places, padding_mode="border", align_corners=False)


def area_centres(size: int, device: torch.device | None = None) -> Tensor:
    """The centres of `size` pixels, -1 and 1 at the edges of the first and the last."""
    return (torch.arange(size, device=device) + 0.5) * (2 / size) - 1


def warp_by_flow(images: Tensor, flow: Tensor) -> Tensor:
    """Images (B, C, S, S) sampled where a flow (B, 2, S, S) in their own pixels points to.

    Bicubic, which keeps detail that bilinear sampling blurs; beyond the images their rim goes on.
    Where the flow is zero they come back as they are, up to rounding.
    """
    size = flow.shape[-1]
    centres = area_centres(size, flow.device)
    x = flow[:, 0] * (2 / size) + centres
    y = flow[:, 1] * (2 / size) + centres[:, None]
    places = torch.stack([x, y], dim=-1)
    return F.grid_sample(
        images.float(), places, mode="bicubic", padding_mode="border", align_corners=False
    )


def sample(features: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    """Features (B, C, h, w) at the places of a grid (B, h', w', 2): (B, C, h', w')."""
    if _lies_in_rows(features):
        return _sample_rows(features, grid, align_corners)
    sampled = F.grid_sample(
        features.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=align_corners
    )
    return sampled.to(features.dtype)


def _lies_in_rows(features: Tensor) -> bool:
    """Whether all channels of a pixel are neighbours, on a CPU, with nothing to learn.

    There `grid_sample` visits one channel after the other, and takes five times as long as need be.
    """
    return (
        features.device.type == "cpu"
        and not torch.is_grad_enabled()
        and features.shape[1] > 3
        and features[:1].is_contiguous(memory_format=torch.channels_last)
    )


def _sample_rows(features: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    """`sample` as a weighted sum of the four rows of channels around each place."""
    batch, _, height, width = features.shape
    shared = features.stride(0) == 0  # one source for the whole batch
    table = (features[:1] if shared else features).permute(0, 2, 3, 1).flatten(0, 2).float()
    x, y = grid.unbind(-1)
    (left, right), (by_left, by_right) = _pixels_around(x, width, align_corners)
    (above, below), (by_above, by_below) = _pixels_around(y, height, align_corners)
    if not shared:
        first = torch.arange(0, batch * height, height, dtype=torch.int32)[:, None, None]
        above, below = above + first, below + first
    rows = torch.stack([r * width + c for r in (above, below) for c in (left, right)], dim=-1)
    shares = torch.stack([r * c for r in (by_above, by_below) for c in (by_left, by_right)], dim=-1)
    found = F.embedding_bag(
        rows.flatten(0, 2), table, mode="sum", per_sample_weights=shares.flatten(0, 2)
    )
    return found.unflatten(0, grid.shape[:3]).permute(0, 3, 1, 2).to(features.dtype)


def _pixels_around(
    places: Tensor, size: int, align_corners: bool
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Along one axis: both pixels around each place, and their shares (none outside the image)."""
    place = (places + 1) * ((size - 1) / 2) if align_corners else (places * size + size - 1) / 2
    place = place.clamp(-1, size)
    first = place.floor()
    share = place - first
    pixels = (first.int(), first.int() + 1)
    inside = [(pixel >= 0) & (pixel < size) for pixel in pixels]
    near, far = (pixel.clamp(0, size - 1) for pixel in pixels)
    return (near, far), ((1 - share) * inside[0], share * inside[1])


def sample_at(field: Tensor, points: Tensor) -> Tensor:
    """What a field (B, h, w, C) holds at points (B, n, 2), bilinearly: (B, n, C)."""
    channels_first = field.float().permute(0, 3, 1, 2)
    found = F.grid_sample(channels_first, points.float()[:, None], align_corners=True)
    return found[:, :, 0].transpose(1, 2)


def squared_distances(points: Tensor, size: tuple[int, int]) -> Tensor:
    """From each place of a grid to each of the points (B, K, 2), float32 (B, K, h, w)."""
    grid = identity_grid(*size, device=points.device)
    across = (grid[0, :, 0] - points.float()[..., :1]).square()
    down = (grid[:, 0, 1] - points.float()[..., 1:]).square()
    return across[..., None, :] + down[..., None]


def gaussian_maps(points: Tensor, size: tuple[int, int]) -> Tensor:
    """A Gaussian around each of the points (B, K, 2), peak 1, float32 (B, K, h, w)."""
    exponent = squared_distances(points, size) * (-0.5 / KEYPOINT_VARIANCE)
    return torch.exp(exponent.clamp(min=LEAST_EXPONENT))


def affine_motions(linear: Tensor, shift: Tensor, size: tuple[int, int]) -> Tensor:
    """Where affine maps take each place of a grid, float32 (B, K, h, w, 2).

    linear: (B, K, 2, 2). shift: (B, K, 2).
    """
    grid = identity_grid(*size, device=linear.device)
    across = linear[..., None, :, 0] * grid[0, :, :1]  # (B, K, w, 2)
    down = linear[..., None, :, 1] * grid[:, 0, 1:] + shift[..., None, :]  # (B, K, h, 2)
    return across[..., None, :, :] + down[..., None, :]


def inverse_2x2(matrix: Tensor) -> Tensor:
    """Inverse of (..., 2, 2) in float32, by the adjugate; immune to autocast."""
    a, b, c, d = matrix.float().flatten(-2).unbind(-1)
    adjugate = torch.stack((d, -b, -c, a), dim=-1).unflatten(-1, (2, 2))
    return adjugate / (a * d - b * c)[..., None, None]


def matmul_2x2(left: Tensor, right: Tensor) -> Tensor:
    """Product of (..., 2, 2) with (..., 2, n) in float32; immune to autocast."""
    return (left.float()[..., :, :, None] * right.float()[..., None, :, :]).sum(-2)


def displacement(motion: Tensor) -> Tensor:
    """Deformation grid (B, h, w, 2) minus the identity."""
    return motion - identity_grid(motion.shape[1], motion.shape[2], device=motion.device)


def to_flow(motion: Tensor) -> Tensor:
    """Deformation grid (B, h, w, 2) -> displacement (B, 2, h, w) in pixels of that grid."""
    return displacement(motion).permute(0, 3, 1, 2) * pixels_per_unit(motion.shape[2])


def from_flow(flow: Tensor) -> Tensor:
    """Displacement (B, 2, h, w) in pixels -> the same (B, h, w, 2) in grid units."""
    return flow.permute(0, 2, 3, 1) / pixels_per_unit(flow.shape[3])


def pixels_per_unit(size: int) -> float:
    """-1 and 1 are the centres of the first and the last of `size` pixels."""
    return (size - 1) / 2

"""However a warp is computed, it is the same warp; pictures are reduced in any precision."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models.grid import (
    affine_motions,
    gaussian_maps,
    identity_grid,
    shrink,
    thin,
    warp,
    warp_thin,
)


def features_and_grid(shared: bool) -> tuple[Tensor, Tensor]:
    """Three items in channels-last layout, and a grid that often leaves the picture."""
    torch.manual_seed(0)
    features = torch.randn(1 if shared else 3, 5, 16, 16)
    features = features.contiguous(memory_format=torch.channels_last).expand(3, -1, -1, -1)
    return features, torch.randn(3, 16, 16, 2)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_summing_rows_of_channels_equals_grid_sample(
    shared: bool, align_corners: bool, dtype: torch.dtype
) -> None:
    features, grid = features_and_grid(shared)
    features = features[:1].to(dtype).expand(3, -1, -1, -1) if shared else features.to(dtype)
    expected = F.grid_sample(features.float(), grid, align_corners=align_corners).to(dtype)
    with torch.inference_mode():
        warped = warp(features, grid, align_corners=align_corners)
    assert warped.is_contiguous(memory_format=torch.channels_last)  # else it was not computed so
    torch.testing.assert_close(warped, expected)
    assert (expected == 0).any()


def test_a_place_that_is_no_number_gives_none() -> None:
    features, grid = features_and_grid(shared=True)
    grid[0, 0, 0] = torch.nan
    grid[1, 0, 0] = torch.inf
    with torch.inference_mode():
        warped = warp(features, grid)
    assert warped[0, :, 0, 0].isnan().all()
    assert (warped[1, :, 0, 0] == 0).all()
    assert warped.isnan().sum() == 5


@pytest.mark.parametrize("size", [4, 8, 16])
def test_warping_what_is_looked_at_equals_looking_at_what_is_warped(size: int) -> None:
    features, grid = features_and_grid(shared=False)
    assert torch.equal(warp_thin(features, grid, size), thin(warp(features, grid), size))


def test_pictures_are_reduced_in_half_precision_as_in_full() -> None:
    images = torch.rand(1, 3, 32, 32)
    halves = shrink(images.bfloat16(), 16)
    assert halves.dtype is torch.bfloat16
    assert (halves.float() - shrink(images, 16)).abs().max() < 0.01


def test_gaussian_maps_hold_no_numbers_that_slow_a_processor_down() -> None:
    points = torch.tensor([[[0.0, 0.5], [-1.0, 1.0]]])
    maps = gaussian_maps(points, (33, 65))
    offsets = identity_grid(33, 65) - points[:, :, None, None]
    written_out = torch.exp(offsets.square().sum(-1) * -50)
    torch.testing.assert_close(maps, written_out)
    smallest = torch.finfo(torch.float32).tiny
    assert ((written_out > 0) & (written_out < smallest)).any()
    assert (maps >= smallest).all()
    assert (maps[0, 0].argmax(), maps[0, 0].max()) == (24 * 65 + 32, 1)


def test_affine_motions_take_each_place_of_the_grid() -> None:
    torch.manual_seed(0)
    linear, shift = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2)
    motions = affine_motions(linear, shift, (4, 6))
    written_out = linear[:, :, None, None] @ identity_grid(4, 6)[..., None]
    torch.testing.assert_close(motions, written_out[..., 0] + shift[:, :, None, None])

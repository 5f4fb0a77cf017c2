"""Pixels and landmarks move together; keypoints that follow a warp have no equivariance loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.motion.optical_flow import optical_flow, small_grey
from talkhead.structs import Keypoints
from talkhead.training.data import augment
from talkhead.training.data.random_warp import draw_warp, reflect, stack_warps
from talkhead.training.losses.adversarial import adaptive_weight
from talkhead.training.losses.discriminator import KeypointDiscriminator, PatchDiscriminator
from talkhead.training.losses.equivariance import equivariance
from talkhead.training.losses.perceptual import PerceptualPyramid, Vgg19, load_vgg
from talkhead.training.optimizer import rate_factor
from talkhead.training.recipes.presets import LITE, MCNET
from talkhead.training.recipes.recipe import Augmentation

SIZE = 64
GEOMETRY = Augmentation(flip=0.5, rotation=0.3, scale=0.1, stretch=0.05, shift=0.05, bend=0.003)


def dots(points: Tensor) -> Tensor:
    """Pictures (B, 2, 3, S, S) with a soft dot of one colour at each of points (B, 2, 3, 2)."""
    axis = torch.linspace(-1, 1, SIZE)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    distance = (grid - points[:, :, :, None, None]).square().sum(-1)
    return torch.exp(-0.5 * distance / 0.05**2)


def centres(pictures: Tensor) -> Tensor:
    """Where the dots are: (B, 2, 3, 2)."""
    axis = torch.linspace(-1, 1, SIZE)
    weight = pictures / pictures.sum((-1, -2), keepdim=True)
    return torch.stack([(weight.sum(-2) * axis).sum(-1), (weight.sum(-1) * axis).sum(-1)], dim=-1)


def changes(how: Augmentation, count: int) -> augment.Change:
    numbers = [augment.draw(np.random.default_rng(i), how) for i in range(count)]
    return augment.stack(numbers, how)


def test_landmarks_stay_on_their_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    landmarks = torch.rand(8, 2, 3, 2, generator=generator) - 0.5
    change = changes(GEOMETRY, 8)
    assert change.flip.any()
    assert not change.flip.all()
    pictures = augment.move(dots(landmarks), change)
    moved = augment.move_points(landmarks, change, torch.arange(3))
    assert (moved - landmarks).abs().max() > 0.1
    # A dot that is bent or shifted loses a little symmetry: half a pixel is 0.016.
    assert (centres(pictures) - moved).abs().max() < 0.016


def test_mirrored_landmarks_change_sides() -> None:
    landmarks = torch.tensor([[-0.5, 0.1], [0.5, 0.1], [0.0, 0.3]]).expand(4, 2, 3, 2)
    change = changes(Augmentation(flip=1.0), 4)
    moved = augment.move_points(landmarks, change, torch.tensor([1, 0, 2]))
    assert torch.allclose(moved, landmarks, atol=1e-6)  # a symmetric face stays as it is


def test_no_augmentation_changes_nothing() -> None:
    pictures = torch.rand(2, 2, 3, SIZE, SIZE)
    change = changes(Augmentation(flip=0.0), 2)
    same = augment.recolour(augment.move(pictures, change), change)
    assert torch.allclose(same, pictures, atol=1e-5)


def test_jitter_keeps_grey_grey() -> None:
    grey = torch.rand(4, 2, 1, 8, 8).expand(-1, -1, 3, -1, -1)
    jitter = Augmentation(flip=0.0, jitter=0.1)
    changed = augment.recolour(grey, changes(jitter, 4))
    assert (changed - grey).abs().max() > 0.02
    assert (changed.amax(2) - changed.amin(2)).max() < 1e-4


@pytest.mark.parametrize("kernel", ["l1", "l2"])
def test_the_jacobian_of_a_warp_is_its_derivative(kernel: str) -> None:
    numbers = [draw_warp(np.random.default_rng(i), 0.05, 0.005) for i in range(2)]
    warp = stack_warps(numbers, kernel)  # type: ignore[arg-type]
    points = torch.rand(2, 5, 2) * 1.6 - 0.83
    points.requires_grad_()
    moved = warp(points)
    for axis in (0, 1):
        (row,) = torch.autograd.grad(moved[..., axis].sum(), points, retain_graph=True)
        assert torch.allclose(warp.jacobian(points)[:, :, axis], row, atol=1e-3)


def test_keypoints_that_follow_the_warp_have_no_loss() -> None:
    warp = stack_warps([draw_warp(np.random.default_rng(0), 0.05, 0.005)], "l1")
    moved = Keypoints(torch.rand(1, 6, 2) - 0.5, torch.rand(1, 6, 2, 2) + 2 * torch.eye(2))
    assert moved.jacobian is not None
    found = Keypoints(warp(moved.value), warp.jacobian(moved.value) @ moved.jacobian)
    for value in equivariance(found, moved, warp).values():
        assert value.item() < 1e-5
    off = replace(found, value=found.value + 0.1)
    assert equivariance(off, moved, warp)["equivariance_value"].item() == pytest.approx(0.1)


def test_a_warped_picture_shows_at_z_what_was_at_warp_of_z() -> None:
    warp = stack_warps([draw_warp(np.random.default_rng(1), 0.05, 0.003)], "l1")
    seen = torch.tensor([[[0.1, -0.2], [0.3, 0.4], [-0.4, 0.2]]])
    picture = dots(warp(seen)[:, None].expand(-1, 2, -1, -1))[:, 0]
    found = centres(warp.apply(picture)[:, None])[:, 0]
    assert (found - seen).abs().max() < 0.02


def test_reflection_folds_back_inside() -> None:
    folded = reflect(torch.tensor([-1.25, -1.0, 0.3, 1.0, 1.5, 3.5]))
    assert torch.allclose(folded, torch.tensor([-0.75, -1.0, 0.3, 1.0, 0.5, -0.5]))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_optical_flow_finds_a_shift_in_the_changed_pictures(flip: float) -> None:
    noise = torch.rand(1, 1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(noise[0], scale_factor=5, mode="bilinear")[0]
    source, driving = large[:, 20:84, 20:84], large[:, 20:84, 23:87]  # moved left by 3 pixels
    pixels = (torch.stack([source, driving])[None] * 255).permute(0, 1, 3, 4, 2)
    change = changes(Augmentation(flip=flip), 1)
    source, driving = augment.move(small_grey(pixels)[:, :, None], change)[0, :, 0].byte()
    flow, trust = optical_flow([(source.numpy(), driving.numpy())], 16)
    axis = torch.linspace(-1, 1, 16)
    shift = (flow[0, ..., 0] - axis)[4:12, 4:12] * 31.5
    assert shift.median().item() == pytest.approx(-3 if flip else 3, abs=0.3)
    assert trust[0, 4:12, 4:12].mean() > 0.8


def test_vgg_is_read_by_torchvisions_names_and_compares_pictures(tmp_path: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    state = {name: torch.randn_like(t) * 0.02 for name, t in Vgg19().state_dict().items()}
    assert len(state) == 26
    assert state["features.28.weight"].shape == (512, 512, 3, 3)
    torch.save(state | {"classifier.0.weight": torch.zeros(2)}, tmp_path / "vgg19.pth")
    save_file(state, tmp_path / "vgg19.safetensors")
    for name in ("vgg19.pth", "vgg19.safetensors"):
        pyramid = PerceptualPyramid(load_vgg(tmp_path / name))
    picture = torch.rand(1, 3, 128, 128, requires_grad=True)
    assert pyramid(picture, picture.detach()).item() == 0
    pyramid(picture, torch.rand(1, 3, 128, 128)).backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in pyramid.parameters())
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(TalkheadError, match="not VGG-19"):
        load_vgg(tmp_path / "other.pth")


def test_adaptive_weight_balances_gradients() -> None:
    weight = torch.tensor([2.0], requires_grad=True)
    reconstruction, adversarial = 3 * weight.sum(), 30 * weight.sum()
    assert adaptive_weight(reconstruction, adversarial, weight, 0.8).item() == pytest.approx(
        0.08, rel=1e-3
    )
    assert adaptive_weight(adversarial, reconstruction, weight, 0.8).item() == pytest.approx(0.8)


def test_discriminator_judges_patches() -> None:
    logits, features = PatchDiscriminator(4)(torch.rand(2, 3, 128, 128), torch.zeros(2, 3, 2))
    assert logits.shape == (2, 1, 6, 6)
    assert features == []


def test_keypoint_discriminator_sees_where_the_keypoints_are() -> None:
    torch.manual_seed(0)
    judge = KeypointDiscriminator(3, channels=4).eval()
    images = torch.rand(2, 3, 128, 128)
    here, features = judge(images, torch.zeros(2, 3, 2))
    there, _ = judge(images, torch.full((2, 3, 2), 0.7))
    assert here.shape == (2, 1, 10, 10)
    assert [feature.shape[1] for feature in features] == [8, 16, 32, 64]
    assert not torch.allclose(here, there)


def test_schedules_fall_where_the_papers_say() -> None:
    assert rate_factor(MCNET, 0, 0.79) == 1
    assert rate_factor(MCNET, 0, 0.81) == pytest.approx(0.1)
    assert rate_factor(LITE, 49, 0.0) == pytest.approx(0.5)
    assert rate_factor(LITE, 5000, 1.0) == pytest.approx(0.02)

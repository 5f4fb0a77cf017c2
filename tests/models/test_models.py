"""The four families: one shape, one picture from every path, and parts that do what they say."""

from dataclasses import replace

import pytest
import torch
from miniatures import (
    FAMILIES,
    MEMORY,
    meshes,
    mini,
    mini_bundled,
    mini_config,
    mini_preset,
    pictures,
    shared_mini,
)
from torch import nn

from talkhead.config import PRESETS, MeshConfig, uses_mesh
from talkhead.errors import TalkheadError
from talkhead.models import build
from talkhead.models.grid import identity_grid, warp
from talkhead.models.tps import drop_softmax, fit_splines, move_affinely
from talkhead.structs import DenseMotion, Keypoints

VARIANTS = {
    **{name: mini_preset(name) for name in PRESETS},
    "bundled": mini_bundled(),
    "mcnet-one-scale": replace(mini_config("mcnet"), memory=replace(MEMORY, scales=(1,))),
    "mcnet-four-scales": replace(
        mini_config("mcnet"), memory=replace(MEMORY, scales=(0, 1, 2, 3), size=8)
    ),
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds(name):
    with torch.device("meta"):
        model = build(PRESETS[name])
    assert model.config == PRESETS[name]
    assert sum(p.numel() for p in model.parameters()) > 5e6


@pytest.mark.parametrize("name", VARIANTS)
def test_drawing_gives_the_picture_that_training_sees(name):
    model = shared_mini(replace(VARIANTS[name], **as_trained(VARIANTS[name])))
    source, driving = pictures(2), pictures(2, seed=1)
    with torch.no_grad():
        if uses_mesh(model.config):
            both = meshes(2), meshes(2, seed=1)
            out = model.reconstruct(source, driving, meshes=both)
            state, keypoints = model.encode_source(source, both[0]), model.detect(driving, both[1])
        else:
            out = model.reconstruct(source, driving)
            state, keypoints = model.encode_source(source), model.detect(driving)
        drawn = model.render(state, keypoints)
    assert out.image.shape == source.shape
    torch.testing.assert_close(drawn, out.image.clamp(0, 1))
    assert all(loss.ndim == 0 and loss.isfinite() for loss in out.losses.values())
    assert out.motion.shape[-1] == 2
    assert out.warped_source.shape == source.shape


def as_trained(config):
    """Without what takes no part in a training step, or is drawn at random."""
    if config.family == "tpsmm":
        return {"background": False}
    mesh = getattr(config, "mesh", None)
    return {"mesh": replace(mesh, mouth=False)} if mesh else {}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_training_step_reaches_every_parameter(name):
    torch.manual_seed(0)
    model = mini(VARIANTS[name]).train()
    both = {"meshes": (meshes(2), meshes(2, seed=1))} if uses_mesh(model.config) else {}
    out = model.reconstruct(pictures(2), pictures(2, seed=1), **both)
    loss = (out.image - pictures(2, seed=1)).abs().mean() + sum(out.losses.values())
    loss = loss + out.driving.value.square().mean()
    if out.coarse_image is not None:
        loss = loss + out.coarse_image.square().mean()
    loss.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # A bias in front of a normalisation has no effect, so its gradient may be exactly zero.
    assert [name for name in still if not name.endswith("bias") and "mouth." not in name] == []


@pytest.mark.parametrize("name", VARIANTS)
def test_a_batch_equals_its_items(name):
    model = shared_mini(VARIANTS[name])
    source, driving = pictures(1), pictures(3, seed=1)
    with torch.inference_mode():
        state = model.encode_source(source)
        keypoints = model.detect(driving)
        together = model.render(state, keypoints)
        single = [model.render(state, keypoints[i : i + 1]) for i in range(3)]
        expanded = model.render(state.expand(3), keypoints)
    torch.testing.assert_close(together, torch.cat(single), rtol=1e-3, atol=5e-4)
    assert torch.equal(together, expanded)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_runs_and_stays_finite(family):
    model = mini(family)
    source, driving = pictures(1), pictures(1, seed=1)
    with torch.inference_mode():
        model.to(torch.bfloat16)
        image = model.render(model.encode_source(source), model.detect(driving))
    assert image.dtype == torch.float32
    assert image.isfinite().all()


def test_keypoints_are_read_from_meshes_in_half_precision_too():
    config = mini_config("codebook")
    keypoints = replace(config.keypoints, num_keypoints=15)
    model = mini(replace(config, mesh=MeshConfig(), keypoints=keypoints))
    torch.manual_seed(0)
    face = torch.rand(478, 2) - 0.5
    with torch.inference_mode():
        model.adopt_face(face)
        model.to(torch.bfloat16)
        state = model.encode_source(pictures(1), face[None])
        found = model.detect(pictures(1, seed=1), face[None] + 0.1)
        image = model.render(state, found)
    assert image.isfinite().all()
    assert torch.allclose(found.value - state.keypoints.value, torch.tensor(0.1), atol=1e-5)


@pytest.mark.parametrize("family", ["mcnet", "tpsmm"])
def test_identity_deformation_leaves_features_unchanged(family):
    model = shared_mini(family)
    with torch.inference_mode():
        state = model.encode_source(pictures(1))
        occlusion = tuple(torch.ones(1, 1, *f.shape[-2:]) for f in state.features)
        empty = torch.zeros(1)
        still = DenseMotion(identity_grid(16, 16)[None], occlusion, empty, empty)
        warped = model.warp_features(state, still)
    for before, after in zip(state.features, warped, strict=True):
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("align_corners", [True, False])
def test_only_aligned_sampling_keeps_the_border(align_corners):
    features = torch.rand(1, 2, 8, 8) + 1
    moved = warp(features, identity_grid(8, 8)[None], align_corners=align_corners)
    assert torch.allclose(moved, features, atol=1e-5) == align_corners


def test_fomm_draws_differently_under_the_other_convention():
    config = mini_config("fomm")
    source, driving = pictures(1), pictures(1, seed=1)
    with torch.inference_mode():
        one, other = (
            model.render(model.encode_source(source), model.detect(driving))
            for model in (shared_mini(config), shared_mini(replace(config, align_corners=True)))
        )
    assert (one - other).abs().max() > 1e-3


def test_a_blended_source_that_moves_out_of_the_picture_leaves_no_grey():
    model = mini(replace(mini_config("codebook"), blend_source=True))
    nn.init.zeros_(model.decoder.out.weight)
    nn.init.constant_(model.decoder.out.bias[3:], 20.0)  # the decoder shows the source everywhere
    white = torch.ones_like(pictures(1))
    with torch.inference_mode():
        state = model.encode_source(white)
        away = Keypoints(state.keypoints.value + 1.5, state.keypoints.jacobian)
        dense = model.dense_motion(state.small, state.keypoints, away)
        steps = model.compensate(state, dense, away)
        drawn = model.render(state, away)
    assert (steps[-1].motion.abs() > 1).any()
    assert drawn.min() > 0.999


def test_memory_noise_is_off_unless_asked_for_and_can_be_repeated():
    config = mini_config("mcnet")
    model = shared_mini(config)
    noisy = shared_mini(replace(config, memory=replace(MEMORY, noise=True)))
    maps = [torch.randn(1, 1, 4, 4) for _ in MEMORY.scales]
    with torch.inference_mode():
        state, keypoints = model.encode_source(pictures(1)), model.detect(pictures(1, seed=1))
        assert torch.equal(model.render(state, keypoints), model.render(state, keypoints))
        assert not torch.equal(noisy.render(state, keypoints), noisy.render(state, keypoints))
        repeated = [m.render(state, keypoints, noise=maps) for m in (model, noisy)]
        silent = model.render(state, keypoints)
    assert torch.equal(*repeated)
    assert not torch.equal(repeated[0], silent)


def test_the_memory_passes_even_channels_and_changes_odd_ones():
    model = shared_mini("mcnet")
    feature = torch.rand(1, 8, 8, 8)
    with torch.inference_mode():
        out = model.memory.read(feature, torch.zeros(1, 4, 2), 0).compensated
    assert torch.equal(out[:, ::2], feature[:, ::2])
    assert not torch.allclose(out[:, 1::2], feature[:, 1::2])


def test_splines_between_equal_points_hardly_move_anything():
    points = torch.rand(1, 1, 5, 2, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    grid = identity_grid(9, 9)
    shifted = fit_splines(points + torch.tensor([0.2, 0.0]), points)(grid) - grid
    still = fit_splines(points, points)(grid) - grid
    # Not zero: the ridge in the system makes splines miss their points a little.
    assert still.abs().mean() < 0.05
    assert (shifted[..., 0] - still[..., 0]).mean() > 0.15


def test_an_affine_background_moves_as_its_matrix_says():
    matrix = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]])
    grid = identity_grid(3, 3)
    moved = move_affinely(grid, matrix)[0]
    torch.testing.assert_close(moved, grid * torch.tensor([1.0, 2.0]) + torch.tensor([0.5, 0.0]))


def test_dropped_splines_leave_their_share_to_the_others():
    logits = torch.randn(4, 6, 3, 3)
    weights = drop_softmax(logits, dropout=0.5)
    torch.testing.assert_close(weights.sum(1), torch.ones(4, 3, 3))
    assert (weights[:, 0] > 0).all()
    assert (weights == 0).any()
    assert torch.equal(drop_softmax(logits, 1.0)[:, 0], torch.ones(4, 3, 3))


def test_splines_are_dropped_in_training_only():
    model = mini(replace(mini_config("tpsmm"), dropout=1.0, background=False))
    source, driving = pictures(2), pictures(2, seed=1)
    with torch.no_grad():
        assert not model.reconstruct(source, driving).dense.mask[:, 0].eq(1).all()
        assert model.train().reconstruct(source, driving).dense.mask[:, 0].eq(1).all()
        assert not model.reconstruct(source, driving, dropout=0).dense.mask[:, 0].eq(1).all()


def test_disentanglement_needs_its_network():
    keypoints = Keypoints(torch.rand(2, 6, 2))
    with pytest.raises(TalkheadError, match="disentanglement"):
        shared_mini("tpsmm").disentangle(keypoints, keypoints)
    model = mini(replace(mini_config("tpsmm"), avd=True))
    with torch.inference_mode():
        assert model.disentangle(keypoints[:1], keypoints).value.shape == (2, 6, 2)


def test_the_sharper_a_picture_is_to_be_the_more_of_the_source_it_shows():
    model = mini(replace(mini_config("codebook"), blend_source=True))
    nn.init.zeros_(model.decoder.out.weight)
    nn.init.zeros_(model.decoder.out.bias[:4])  # half the source, half grey
    with torch.inference_mode():
        state = model.encode_source(pictures(1))
        kept = [
            model.render_parts(replace(state, sharpness=sharpness), state.keypoints).kept.mean()
            for sharpness in (None, torch.zeros(1), torch.full((1,), 0.5), torch.ones(1))
        ]
    assert kept[0] == kept[1] == 0.5
    assert kept[1] + 0.2 < kept[2]
    assert kept[2] + 0.1 < kept[3] < 1


def test_masks_and_occlusion_are_those_of_their_own_layers() -> None:
    model = mini("codebook").dense_motion
    for layer in (model.mask, model.occlusion):
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    features = torch.randn(2, model.mask.in_channels, 6, 6)
    masks, occlusion = model._heads(features)
    torch.testing.assert_close(masks, model.mask(features))
    torch.testing.assert_close(occlusion, model.occlusion(features))

"""Face meshes: exact keypoints, one more candidate motion, maps for the decoder, and transfer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import CODEBOOK, SIZE, mesh

from talkhead.config import MeshConfig
from talkhead.faces.crop_mesh import crop_meshes
from talkhead.faces.landmarker import Landmarker
from talkhead.faces.regions import Region
from talkhead.inference.engine import Engine
from talkhead.models import build
from talkhead.models.codebook import CodebookModel
from talkhead.models.grid import identity_grid
from talkhead.models.mesh import (
    MAPS,
    MeshKeypoints,
    face_maps,
    mesh_motion,
    refine,
    unknown_mesh,
)
from talkhead.motion.mesh_transfer import MeshTransfer, align
from talkhead.motion.smoothing import Smoother
from talkhead.motion.transfer import Transfer
from talkhead.structs import NOWHERE, Face, Keypoints, is_known
from talkhead.topology import (
    HEAD_GROUPS,
    INNER_LIPS,
    LEFT_EYE,
    MESH_POINTS,
    MOUTH_CORNERS,
    OVAL,
)
from talkhead.training.data.landmark_teacher import mean_face


def one_mesh(seed: int = 0) -> Tensor:
    """(1, 478, 2)."""
    return torch.from_numpy(mesh(1, seed))


def deep(seed: int = 0) -> Tensor:
    """(1, 478, 3): the same with depth."""
    depth = np.random.default_rng(seed + 9).uniform(-0.3, 0.3, (1, MESH_POINTS, 1))
    return torch.cat([one_mesh(seed), torch.from_numpy(depth.astype(np.float32))], dim=-1)


def nowhere(count: int = 1) -> Tensor:
    return torch.full((count, MESH_POINTS, 2), NOWHERE)


def mesh_model() -> CodebookModel:
    torch.manual_seed(0)
    model = build(replace(CODEBOOK, mesh=MeshConfig()))
    assert isinstance(model, CodebookModel)
    model.adopt_face(mean_face(one_mesh()))
    for each in model.decoder.maps.parameters():
        torch.nn.init.normal_(each)
    return model.eval()


def turned(degrees: float) -> Tensor:
    """A rotation about the vertical axis, (3, 3)."""
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def test_a_mesh_that_is_shifted_moves_its_surroundings_back_by_as_much() -> None:
    source = one_mesh()
    shift = torch.tensor([0.2, -0.1])
    motion, logit = mesh_motion(source, source + shift, (32, 32))
    moved = identity_grid(32, 32) - shift
    inside = logit[0] > 0
    assert inside.any()
    assert torch.allclose(motion[0][inside], moved[inside], atol=1e-5)
    assert logit[0, 0, 0] < -5  # a corner, far from every point


def test_points_that_move_alone_move_their_own_place() -> None:
    source = torch.zeros(1, MESH_POINTS, 2)
    source[:, 1:] = 0.6
    driving = source.clone()
    driving[:, 0, 0] += 0.1
    motion, _ = mesh_motion(source, driving, (41, 41))
    displacement = motion - identity_grid(41, 41)
    assert torch.allclose(displacement[0, 20, 22], torch.tensor([-0.1, 0.0]), atol=1e-4)
    assert torch.allclose(displacement[0, 32, 32], torch.zeros(2), atol=1e-4)


def test_around_lids_and_lips_a_refined_deformation_is_that_of_the_mesh() -> None:
    source = torch.full((1, MESH_POINTS, 2), 0.8)
    source[:, list(LEFT_EYE)] = 0.0
    driving = source.clone()
    driving[:, list(LEFT_EYE), 1] += 0.02  # a lid, less than a place of the coarse grid
    still = identity_grid(64, 64)[None]
    refined, _ = refine(
        still, Keypoints(source, None, source), Keypoints(driving, None, driving), 65
    )
    moved = refined - identity_grid(65, 65)
    assert torch.allclose(moved[0, 32, 32], torch.tensor([0.0, -0.02]), atol=1e-3)
    assert moved[0, 32, :12].abs().max() < 1e-4  # far from every lid and lip


def test_a_detectors_keypoints_stay_where_the_mesh_only_refines() -> None:
    model = build(replace(CODEBOOK, mesh=MeshConfig(False, False, False, refine=True))).eval()
    images, face = torch.rand(2, 3, SIZE, SIZE), one_mesh()
    with torch.no_grad():
        plain, found = model.detect(images), model.detect(images, face.expand(2, -1, -1))
        still = model.render(model.encode_source(images[:1]), plain)
        moved = model.render(model.encode_source(images[:1], face), found)
        lips = face.clone()
        lips[:, list(INNER_LIPS), 1] += 0.1
        spoken = model.render(model.encode_source(images[:1], face), replace(found, mesh=lips))
    assert torch.equal(plain.value, found.value)
    assert not torch.allclose(spoken[0], moved[0], atol=1e-4)
    assert still.shape == moved.shape


def test_a_mesh_that_is_not_known_has_no_weight_and_draws_nothing() -> None:
    motion, logit = mesh_motion(nowhere(), nowhere(), (16, 16))
    assert torch.allclose(motion[0], identity_grid(16, 16), atol=1e-5)
    assert bool((logit < -1000).all())
    assert face_maps(nowhere(), 16).abs().max() == 0
    assert is_known(torch.cat([one_mesh(), nowhere()])).tolist() == [True, False]


def test_maps_are_full_inside_empty_outside_and_soft_on_the_border() -> None:
    points = torch.full((1, MESH_POINTS, 2), 0.0)
    around = torch.linspace(0, 2 * math.pi, len(OVAL) + 1)[:-1]
    points[:, list(OVAL)] = 0.7 * torch.stack([around.sin(), around.cos()], dim=-1)
    maps = face_maps(points, 65)
    assert maps.shape == (1, MAPS, 65, 65)
    face = maps[0, 0]
    assert face[32, 32] == 1
    assert face[0, 0] == 0
    pixel = (2 / 64) ** 2
    assert face.sum() * pixel == pytest.approx(math.pi * 0.7**2, rel=0.02)
    assert bool(((face > 0) & (face < 1)).any())


def test_a_decoder_begins_to_use_maps_from_nothing_and_can_learn_to() -> None:
    torch.manual_seed(0)
    config = replace(CODEBOOK, mesh=MeshConfig(keypoints=False, motion=False))
    model, images = build(config), torch.rand(2, 3, SIZE, SIZE)
    before = build(replace(config, mesh=MeshConfig(keypoints=False, motion=False, maps=False)))
    assert isinstance(model, CodebookModel)
    assert isinstance(before, CodebookModel)
    before.load_state_dict(
        {name: x for name, x in model.state_dict().items() if not name.startswith("decoder.maps.")}
    )
    meshes = (one_mesh(), one_mesh(1))
    drawn = [m.reconstruct(images[:1], images[1:], meshes=meshes).image for m in (model, before)]
    assert torch.equal(*drawn)
    drawn[0].square().sum().backward()
    for layer in model.decoder.maps:
        assert isinstance(layer, torch.nn.Conv2d)
        assert layer.weight.grad is not None
        assert layer.weight.grad.abs().max() > 0


def test_keypoints_are_read_from_the_mesh_and_from_the_detector_where_there_is_none() -> None:
    model, images = mesh_model(), torch.rand(2, 3, SIZE, SIZE)
    meshes = torch.cat([one_mesh(), nowhere()])
    with torch.no_grad():
        plain, found = model.detect(images), model.detect(images, meshes)
    exact = MeshKeypoints.of(model.mean_face)(one_mesh())
    count = len(HEAD_GROUPS)
    assert torch.equal(found.value[0, :count], exact.value[0])
    assert torch.equal(found.value[1], plain.value[1])
    assert found.jacobian is not None
    assert exact.jacobian is not None
    assert torch.equal(found.jacobian[0, :count], exact.jacobian[0])


def test_pictures_without_a_face_are_drawn_as_by_a_model_that_was_given_no_mesh() -> None:
    model, images = mesh_model(), torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        without = model.render(model.encode_source(images[:1]), model.detect(images[1:]))
        state = model.encode_source(images[:1], nowhere())
        nothing = model.render(state, model.detect(images[1:], nowhere()))
        seen = model.encode_source(images[:1], one_mesh())
        moved = model.render(seen, model.detect(images[1:], one_mesh() * 0.8))
        alone = model.render(state, model.detect(images[1:], one_mesh()))
    assert torch.allclose(without, nothing, atol=1e-6)
    assert not torch.allclose(without, alone, atol=1e-3)  # exact keypoints, but no mesh to follow
    assert not torch.allclose(without, moved, atol=1e-3)


def test_a_mesh_that_was_moved_takes_its_keypoints_along() -> None:
    """What `render` is given beside a mesh (by relative transfer, say) is read from the mesh."""
    model, images = mesh_model(), torch.rand(1, 3, SIZE, SIZE)
    with torch.no_grad():
        state = model.encode_source(images, one_mesh())
        exact = model.detect(images, one_mesh() * 0.8)
        inexact = replace(exact, value=exact.value + 0.3)
        assert torch.equal(model.render(state, exact), model.render(state, inexact))


def test_alignment_finds_rotation_growth_and_shift() -> None:
    start, rotation = deep(), turned(25)
    middle = start[:, :1] * 0
    end = 1.3 * (start - middle) @ rotation.T + torch.tensor([0.1, -0.2, 0.0])
    found, growth, _ = align(start, end)
    assert torch.allclose(found[0], rotation, atol=1e-4)
    assert growth.item() == pytest.approx(1.3, abs=1e-4)


def test_a_driver_in_the_anchors_pose_leaves_the_source_as_it_is() -> None:
    anchor, source = deep(1), deep(2)
    moved = MeshTransfer(anchor, source, 0.7)(anchor)
    assert torch.allclose(moved, source, atol=1e-5)


def test_a_head_that_turns_turns_the_sources_head_in_space() -> None:
    anchor, source, rotation = deep(1), deep(2), turned(20)
    moved = MeshTransfer(anchor, source, 1.0)(anchor @ rotation.T)
    own, _, _ = align(source, moved)
    assert torch.allclose(own[0], rotation, atol=1e-4)
    spread = (moved - moved.mean(1, keepdim=True)).norm(), (source - source.mean(1)).norm()
    assert spread[0].item() == pytest.approx(spread[1].item(), rel=1e-4)


def test_expressions_are_carried_into_the_sources_head_and_scaled() -> None:
    anchor, rotation = deep(1), turned(90)
    source = anchor @ rotation.T  # the same person from the side
    smile = anchor.clone()
    smile[:, MOUTH_CORNERS[0], 0] -= 0.1
    moved = MeshTransfer(anchor, source, 0.5)(smile)
    change = (moved - source)[0, MOUTH_CORNERS[0]]
    assert torch.allclose(change, torch.tensor([-0.05, 0.0, 0.0]) @ rotation.T, atol=1e-4)


def test_a_frame_without_a_mesh_stays_without_one() -> None:
    gone = torch.full((1, MESH_POINTS, 3), NOWHERE)
    moved = MeshTransfer(deep(1), deep(2), 1.0)(torch.cat([deep(1), gone]))
    assert is_known(moved).tolist() == [True, False]
    assert not is_known(MeshTransfer(gone, deep(2), 1.0)(deep(1))).any()


def test_transfer_carries_the_mesh_in_both_modes() -> None:
    source, anchor, driving = (
        Keypoints(torch.rand(1, 15, 2), torch.eye(2).expand(1, 15, 2, 2), deep(seed))
        for seed in (1, 2, 3)
    )
    absolute = Transfer("absolute", source)(driving).mesh
    relative = Transfer("relative", source, anchor)(driving).mesh
    assert absolute is not None
    assert relative is not None
    assert torch.equal(absolute, driving.mesh)
    assert not torch.allclose(relative, absolute)


def test_smoothing_begins_anew_after_a_frame_without_a_mesh() -> None:
    meshes = torch.cat([one_mesh(), one_mesh() + 0.5, nowhere(), one_mesh()])
    value = torch.zeros(4, 15, 2)
    smooth = Smoother(1.0)(Keypoints(value, mesh=meshes), [i / 25 for i in range(4)]).mesh
    assert smooth is not None
    assert torch.equal(smooth[2], meshes[2])
    assert torch.equal(smooth[3], meshes[3])
    assert not torch.equal(smooth[1], meshes[1])


def test_keypoints_without_a_mesh_count_as_unknown() -> None:
    assert not is_known(unknown_mesh(Keypoints(torch.zeros(2, 15, 2)))).any()


class OnlySeesLight:
    """A landmarker that sees one face in bright pictures and none in dark ones."""

    def __init__(self, points: np.ndarray) -> None:
        self._points = points

    def look_each(self, pictures: Sequence[np.ndarray], regions: Sequence[Region]) -> list[Face]:
        return [Face(self._points[:468], float(rgb.mean() > 128)) for rgb in pictures]

    def refine(self, pictures: Sequence[np.ndarray], regions: object) -> list[np.ndarray]:
        return [self._points for _ in pictures]


def test_an_engine_gives_its_model_the_mesh_of_a_face_and_none_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = np.random.default_rng(0).uniform(1, SIZE - 1, (MESH_POINTS, 3)).astype(np.float32)
    points[0] = (0.5, SIZE - 0.5, 0.0)  # the centre of the lower left pixel
    monkeypatch.setattr(
        "talkhead.inference.engine.Landmarker", lambda device: OnlySeesLight(points)
    )
    monkeypatch.setattr("talkhead.faces.crop_mesh.plausible", lambda points: True)
    engine = Engine(mesh_model(), torch.device("cpu"))
    light, dark = (np.full((SIZE, SIZE, 3), level, np.uint8) for level in (200, 20))
    found = engine.detect([light, dark])
    assert found.mesh is not None
    assert is_known(found.mesh).tolist() == [True, False]
    assert found.mesh[0, 0, :2].tolist() == pytest.approx([-1, 1], abs=1e-6)
    drawn = engine.render(engine.encode(light), found)
    assert drawn.shape == (2, SIZE, SIZE, 3)


def test_a_face_of_impossible_proportions_is_none() -> None:
    points = np.zeros((MESH_POINTS, 3), np.float32)
    light = np.full((SIZE, SIZE, 3), 200, np.uint8)
    landmarker = cast("Landmarker", OnlySeesLight(points))
    assert np.isnan(crop_meshes(landmarker, [light])).all()

"""What asks a decoder to draw: its own picture, open occlusion, a face mesh that judges faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toys import CODEBOOK, SIZE, mesh, toy_batch, toy_library

from talkhead.data.landmarks import gaze, opening
from talkhead.faces.crop_mesh import CENTRE, SHARE
from talkhead.faces.mesh import FaceMesh478
from talkhead.models import build
from talkhead.models.autoencoder import shadow
from talkhead.models.codebook import CodebookModel
from talkhead.models.grid import sample_at
from talkhead.structs import NOWHERE
from talkhead.topology import LEFT_EYE, MESH_POINTS, MOUTH_CORNERS, OUTER_LIPS, RIGHT_EYE
from talkhead.training.data.landmark_teacher import fit_teacher
from talkhead.training.losses.mesh_judge import MARGIN, MeshJudge, face_grid, shape_measures
from talkhead.training.losses.objective import Objective, close_up, total
from talkhead.training.losses.perceptual import EfficientNetDistance
from talkhead.training.phases.open_occlusion import open_occlusion
from talkhead.training.recipes.recipe import LandmarkStart, LossWeights, Recipe


def blending_model() -> CodebookModel:
    torch.manual_seed(0)
    model = build(replace(CODEBOOK, blend_source=True))
    assert isinstance(model, CodebookModel)
    return model


def colour_gradient(weights: LossWeights) -> float:
    """How strongly a decoder that shows the source everywhere is asked to change its colours."""
    recipe = Recipe("test", batch_size=2, weights=weights)
    model, batch = blending_model(), toy_batch(recipe)
    assert model.decoder.out.bias is not None
    torch.nn.init.constant_(model.decoder.out.bias[3:], 30.0)
    outputs = model.reconstruct(batch.source, batch.driving)
    total(Objective(recipe)(model, batch, outputs, 0.0)).backward()
    assert model.decoder.out.weight.grad is not None
    return float(model.decoder.out.weight.grad[:3].abs().max())


def test_the_decoders_own_picture_is_judged_where_the_source_is_shown() -> None:
    assert colour_gradient(LossWeights(pyramid=1.0)) < 1e-9
    assert colour_gradient(LossWeights(pyramid=1.0, own=0.5)) > 1e-4


def test_the_own_picture_counts_by_its_share_of_the_image_terms() -> None:
    recipe = Recipe(
        "test", batch_size=2, weights=LossWeights(pyramid=2.0, dissimilarity=1.0, own=0.5)
    )
    model, batch = blending_model(), toy_batch(recipe)
    outputs = model.reconstruct(batch.source, batch.driving)
    assert outputs.own_image is not None
    terms = Objective(recipe)(model, batch, outputs, 0.0)
    alone = Objective(replace(recipe, weights=LossWeights(pyramid=2.0, dissimilarity=1.0)))
    judged = alone(model, batch, replace(outputs, image=outputs.own_image), 0.0)
    assert terms["own"].item() == pytest.approx(0.5 * total(judged).item(), rel=1e-5)


def test_a_picture_that_nothing_judges_adds_no_term() -> None:
    """As with VGG-19 in place of the pyramid, which looks at one of the two pictures by coin."""
    recipe = Recipe("test", batch_size=2, weights=LossWeights(motion_code=1, own=0.5, coarse=1))
    model, batch = blending_model(), toy_batch(recipe)
    outputs = model.reconstruct(batch.source, batch.driving)
    assert outputs.coarse_image is not None
    assert Objective(recipe)(model, batch, outputs, 0.0).keys() == {"motion_code"}


def test_occlusion_begins_open_but_for_what_other_weights_bring() -> None:
    model, batch = blending_model(), toy_batch(Recipe("test", batch_size=2))
    with torch.no_grad():
        model.dense_motion.occlusion.weight.normal_()
        before = model.dense_motion.occlusion.weight.clone()
        open_occlusion(model, 2.0, new={"encoder.stem.weight"})
        assert torch.equal(model.dense_motion.occlusion.weight, before)
        open_occlusion(model, 2.0, new=set(model.state_dict()))
        state = model.encode_source(batch.source)
        driving = model.detect(batch.driving)
        dense = model.dense_motion(state.small, state.keypoints, driving)
        steps = model.compensate(state, dense, driving)
    assert torch.allclose(dense.occlusion[0], torch.tensor(2.0).sigmoid())
    assert all(bool((step.occlusion > 0.9).all()) for step in steps)


def test_faces_are_brought_to_where_the_mesh_looks() -> None:
    points = torch.from_numpy(mesh(2)) * torch.tensor([0.6, 0.9]) + torch.tensor([0.1, -0.2])
    grid = face_grid(points, SIZE)
    low, high = points.amin(1), points.amax(1)
    middle = torch.tensor(CENTRE) * 2 - 1
    assert torch.allclose(
        sample_at(grid, middle.expand(2, 1, 2))[:, 0], (low + high) / 2, atol=1e-4
    )
    left = sample_at(grid, (middle - torch.tensor([SHARE, 0.0])).expand(2, 1, 2))[:, 0, 0]
    half = MARGIN * (high - low).amax(-1) / 2
    assert torch.allclose((low + high)[:, 0] / 2 - left, half, atol=1e-4)


def test_openings_and_gaze_are_shares_of_the_width() -> None:
    points = torch.zeros(1, MESH_POINTS, 2)
    points[:, 291, 0] = 2.0  # corners of the mouth, 2 apart; lips 1 apart
    points[:, 14, 1] = 1.0
    points[:, 133, 0], points[:, 145, 1], points[:, 468, 0] = 4.0, 1.0, 3.0
    points[:, 362, 0], points[:, 263, 0], points[:, 473, 0] = 0.0, 4.0, 1.0
    assert shape_measures(points)[0].tolist() == pytest.approx([0.5, 0.25, 0.0, 0.75, 0.25])


def test_training_and_evaluation_measure_openings_and_gaze_alike() -> None:
    points = mesh(2) + np.random.default_rng(0).normal(0, 0.05, (2, MESH_POINTS, 2))
    mouth, eye, other, *irises = shape_measures(torch.from_numpy(points)).T.numpy()
    assert mouth == pytest.approx(opening(points, "mouth_opening"))
    assert (eye + other) / 2 == pytest.approx(opening(points, "eye_opening"))
    assert sum(irises) / 2 == pytest.approx(gaze(points))


def test_the_face_mesh_sees_a_difference_between_different_pictures_alone() -> None:
    judge = MeshJudge(FaceMesh478.load())
    torch.manual_seed(0)
    target, points = torch.rand(1, 3, SIZE, SIZE), torch.from_numpy(mesh(1))
    assert judge(target, target, points).item() == 0
    image = (target * 0.5).requires_grad_(True)
    other = target.clone().requires_grad_(True)
    judge(image, other, points).backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0
    assert other.grad is None


def test_the_judge_of_faces_is_asked_where_landmarks_say_there_is_a_face() -> None:
    recipe = Recipe(
        "test",
        batch_size=2,
        weights=LossWeights(pyramid=1.0, face_mesh=1.0),
        landmark_start=LandmarkStart(weights=(0.0, 0.0)),
    )
    teacher = fit_teacher(toy_library(landmarks=True))
    objective = Objective(recipe, None, teacher, MeshJudge(FaceMesh478.load()))
    model, batch = blending_model(), toy_batch(recipe, landmarks=True)
    outputs = model.reconstruct(batch.source, batch.driving)
    assert objective(model, batch, outputs, 0.0)["face_mesh"] > 0
    blind = replace(batch, has_landmarks=torch.zeros(2, dtype=torch.bool))
    assert "face_mesh" not in objective(model, blind, outputs, 0.0)


def test_skips_of_detail_leave_what_is_coarse_to_the_coarse_feature() -> None:
    features = torch.rand(1, 8, 16, 16)
    flat = F.interpolate(F.avg_pool2d(features, 8), scale_factor=8)  # 2 x 2 plain squares
    detail = flat - shadow(flat)
    assert detail[..., 3:5, 3:5].abs().max() < 1e-6  # inside a square nothing is left
    assert (features - shadow(features)).abs().mean() > 0.1


@pytest.mark.parametrize("detail", [False, True])
def test_with_skips_of_detail_the_level_of_finer_features_does_not_reach_the_picture(
    detail: bool,
) -> None:
    torch.manual_seed(0)
    model = build(replace(CODEBOOK, detail_skips=detail))
    assert isinstance(model, CodebookModel)
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        state = model.encode_source(images[:1])
        driving = model.detect(images[1:])
        dense = model.dense_motion(state.small, state.keypoints, driving)
        coarse, *finer = model.compensate(state, dense, driving)
        lifted = [replace(step, compensated=step.compensated + 5) for step in finer]
        before, after = (model._draw(state, (coarse, *x), ()).own for x in (finer, lifted))
        half = model._draw(state, (coarse, *finer), (), detail=0.5).own
    assert torch.allclose(before, after, atol=1e-4) == detail
    assert torch.equal(before, half) != detail


@pytest.mark.parametrize(
    ("mouth", "points", "share"),
    [(True, OUTER_LIPS, 2.0), (False, (*LEFT_EYE, *RIGHT_EYE), 1.4)],
)
def test_close_ups_show_mouths_or_eyes(mouth: bool, points: tuple[int, ...], share: float) -> None:
    meshes = torch.from_numpy(mesh(2)) * 0.8 + torch.tensor([0.1, -0.05])
    grid = close_up(meshes, SIZE, mouth)
    shown = meshes[:, list(points)]
    low, high = shown.amin(1), shown.amax(1)
    assert torch.allclose(grid.mean((1, 2)), (low + high) / 2, atol=1e-5)
    width = (grid[:, -1, -1] - grid[:, 0, 0]).amax(-1)
    assert torch.allclose(width, share * (high - low).amax(-1), atol=1e-5)
    if mouth:
        across = meshes[:, MOUTH_CORNERS[1]] - meshes[:, MOUTH_CORNERS[0]]
        assert bool((width >= 2 * across[:, 0].abs() - 1e-5).all())


def test_a_picture_without_a_face_has_no_close_up() -> None:
    meshes = torch.from_numpy(mesh(2)).clone()
    meshes[1] = NOWHERE
    whole = F.affine_grid(torch.eye(2, 3)[None], [1, 1, SIZE, SIZE], align_corners=True)
    grid = close_up(meshes, SIZE, mouth=True)
    assert torch.allclose(grid[1:], whole, atol=1e-5)
    assert float((grid[0] - whole[0]).abs().max()) > 0.1


class MeanDifference(EfficientNetDistance):
    """In place of the network: the pictures themselves are its features."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (image - target).square().mean()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_close_ups_ask_nothing_of_what_lies_beside_eyes_and_mouth(share: float) -> None:
    recipe = Recipe("test", batch_size=2, weights=LossWeights(perceptual=1.0), close_ups=share)
    model, batch = blending_model(), toy_batch(recipe, landmarks=True)
    outputs = model.reconstruct(batch.source, batch.driving)
    image = outputs.image.detach().requires_grad_()
    objective = Objective(recipe, MeanDifference())
    torch.manual_seed(0)
    for _ in range(8):  # of mouths and of eyes
        objective(model, batch, replace(outputs, image=image), 0.0)["perceptual"].backward()
    assert image.grad is not None
    asked = image.grad.abs().sum(1) > 0
    faces = torch.zeros_like(asked)
    for mouth in (True, False):
        grid = close_up(batch.driving_landmarks, SIZE, mouth)
        places = ((grid + 1) / 2 * (SIZE - 1)).flatten(1, 2)
        low, high = places.amin(1).floor().long() - 1, places.amax(1).ceil().long() + 1
        for row in range(2):
            (x0, y0), (x1, y1) = low[row].clamp(min=0).tolist(), high[row].tolist()
            faces[row, y0 : y1 + 1, x0 : x1 + 1] = True
    assert bool(asked[faces].any())
    assert not bool(faces.all())
    assert bool((asked & ~faces).any()) == (share == 0)

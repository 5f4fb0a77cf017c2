"""Eyes and mouth between two meshes: nothing is left of what shuts, and irises keep their shape."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from talkhead.models.grid import identity_grid, sample_at
from talkhead.models.mesh import refine
from talkhead.models.ring_motion import (
    IRIS_GAIN,
    LEFT,
    LID_GAIN,
    NEAREST,
    RIGHT,
    RINGS,
    RingMotion,
    piecewise,
)
from talkhead.structs import NOWHERE, Keypoints
from talkhead.topology import CHIN, FOREHEAD, IRIS_RIM, OUTER_LIPS

SIZE = 256
PIXEL = 2 / (SIZE - 1)


def wide(face: Tensor, opening: RingMotion) -> Tensor:
    """The mesh with all below the opening twelve pixels lower."""
    below = sorted({point for half in opening.below for point in half[1:-1]})
    face = face.clone()
    face[:, below, 1] += 12 * PIXEL
    return face


def shut(face: Tensor, opening: RingMotion) -> Tensor:
    """The mesh with the border's halves upon each other, in the middle."""
    above, below = list(opening.above[-1]), list(opening.below[-1])
    face = face.clone()
    face[:, above] = face[:, below] = (face[:, above] + face[:, below]) / 2
    return face


def inside(opening: RingMotion, face: Tensor) -> Tensor:
    """Places (1, n, 2) well between the border's halves."""
    above, below = face[:, list(opening.above[-1])], face[:, list(opening.below[-1])]
    shares = torch.tensor([0.2, 0.5, 0.8])[:, None, None, None]
    return torch.lerp(above, below, shares)[:, :, 1:-1].transpose(0, 1).flatten(1, 2)


@pytest.mark.parametrize("opening", RINGS)
def test_a_face_that_stays_moves_nothing(opening: RingMotion, face: Tensor) -> None:
    motion, holds = opening.motion(face, face, SIZE)
    moved = (motion - identity_grid(SIZE, SIZE)).norm(dim=-1) * (holds > 0.01)
    assert moved.max() < 1.5 * PIXEL
    assert holds.max() > 0.99
    assert holds[:, [0, -1]].max() == holds[:, :, [0, -1]].max() == 0  # not at the picture's rim


@pytest.mark.parametrize("opening", RINGS)
def test_every_point_of_the_rings_comes_from_where_the_source_has_it(
    opening: RingMotion, face: Tensor
) -> None:
    turned = torch.tensor([[0.9, 0.3], [-0.3, 0.9]]) * 1.1
    driving = face @ turned + torch.tensor([0.05, -0.02])
    motion, holds = opening.motion(face, driving, SIZE)
    for half in (*opening.above[1:], *opening.below[1:]):
        points = list(half)[1:-1]
        found = sample_at(motion, driving[:, points])
        assert (found - face[:, points]).norm(dim=-1).max() < 3 * PIXEL
        assert sample_at(holds[..., None], driving[:, points]).min() > 0.4


@pytest.mark.parametrize("opening", RINGS)
def test_nothing_is_left_of_what_was_inside_once_it_is_shut(
    opening: RingMotion, face: Tensor
) -> None:
    source = wide(face, opening)
    between = inside(opening, source)[0]
    seen = []
    for driving in (source, shut(face, opening)):
        motion, holds = opening.motion(source, driving, SIZE)
        nearest = torch.cdist(between, motion[holds > 0.5]).amin(1)
        seen.append((nearest < 1.5 * PIXEL).float().mean())
    assert seen[0] > 0.95
    assert seen[1] < 0.3


@pytest.mark.parametrize("eye", [LEFT, RIGHT])
def test_an_iris_that_turns_keeps_its_shape(eye: RingMotion, face: Tensor) -> None:
    assert eye.iris is not None
    iris = list(range(eye.iris, eye.iris + 1 + IRIS_RIM))
    driving, way = face.clone(), torch.tensor([2 * PIXEL, 0])
    driving[:, iris] += way
    motion, _ = eye.motion(face, driving, SIZE)
    centre = driving[:, iris[:1]]
    found = sample_at(motion, centre) - centre
    assert torch.allclose(found[0, 0, 0], -IRIS_GAIN * way[0], atol=PIXEL / 4)
    across = torch.tensor([[[-1.0, 0], [1, 0]]]) * 1.5 * PIXEL
    ends = sample_at(motion, centre + across)[0, :, 0]
    assert ends[1] - ends[0] == pytest.approx(3 * PIXEL, rel=0.2)
    corners = [eye.above[-1][0], eye.above[-1][-1]]
    assert (sample_at(motion, face[:, corners]) - face[:, corners]).norm(dim=-1).max() < 2 * PIXEL


def test_where_a_mesh_is_not_known_a_deformation_is_only_resized(face: Tensor) -> None:
    still, nothing = identity_grid(64, 64)[None], torch.full_like(face, NOWHERE)
    for pair in ((face, nothing), (nothing, face), (nothing, nothing), (face, None), (None, face)):
        refined, eyes = refine(still, *(Keypoints(mesh, None, mesh) for mesh in pair), 128)
        assert eyes is None or eyes.abs().max() == 0
        assert torch.allclose(refined[0], identity_grid(128, 128), atol=1e-6)


def test_between_knots_values_are_linear_beyond_them_they_stay_and_at_one_place_they_step() -> None:
    knots, values = torch.tensor([0.0, 1, 1, 2]), torch.tensor([[0.0], [2], [4], [5]])
    x = torch.tensor([-1.0, 0.5, 0.999, 1.001, 1.5, 3])
    expected = torch.tensor([0, 1, 1.998, 4.001, 4.5, 5])
    assert torch.allclose(piecewise(x, knots, values)[:, 0], expected, atol=1e-3)


@pytest.mark.parametrize("eye", [LEFT, RIGHT])
def test_lids_open_further_than_a_mesh_says(eye: RingMotion, face: Tensor) -> None:
    """The lower lid's middle, lowered by two pixels, is drawn lower still."""
    lid = eye.below[-1][len(eye.below[-1]) // 2]
    driving, way = face.clone(), 2 * PIXEL
    driving[:, list({p for half in eye.below for p in half[1:-1]}), 1] += way
    motion, _ = eye.motion(face, driving, SIZE)
    further = torch.tensor([[[0.0, LID_GAIN * way]]])
    found = sample_at(motion, face[:, [lid]] + further)
    assert (found - face[:, [lid]]).norm() < PIXEL / 2
    seen = sample_at(motion, face[:, [lid]] + torch.tensor([[[0.0, way]]]))
    assert (face[:, [lid]] - seen)[0, 0, 1] > PIXEL / 4  # where the mesh has the lid is eye yet


@pytest.mark.parametrize("eye", [LEFT, RIGHT])
def test_an_iris_at_the_corner_goes_no_further(eye: RingMotion, face: Tensor) -> None:
    """Beside an iris that a mesh sees at its corner, the white is still the source's."""
    assert eye.iris is not None
    iris = list(range(eye.iris, eye.iris + 1 + IRIS_RIM))
    left = face[:, eye.above[-1][0]]
    radius = (face[:, iris[1:]] - face[:, iris[:1]]).norm(dim=-1).mean()
    driving = face.clone()
    way = left[:, 0] + radius - face[:, iris[0], 0]
    driving[:, iris, 0] += way
    motion, _ = eye.motion(face, driving, SIZE)
    centre = driving[:, iris[:1]]
    found = sample_at(motion, centre) - centre
    assert found[0, 0, 0].item() == pytest.approx(-way.item(), abs=PIXEL / 2)
    assert (IRIS_GAIN - 1) * abs(way) > PIXEL  # what it would go further else


@pytest.mark.parametrize("eye", [LEFT, RIGHT])
@pytest.mark.parametrize("side", [0, -1])
def test_white_is_left_beside_an_iris_that_turns_further_than_a_mesh_says(
    eye: RingMotion, face: Tensor, side: int
) -> None:
    assert eye.iris is not None
    iris = list(range(eye.iris, eye.iris + 1 + IRIS_RIM))
    corner, inwards = face[:, eye.above[-1][side]], 1 + 2 * side
    radius = (face[:, iris[1:]] - face[:, iris[:1]]).norm(dim=-1).mean()
    driving = face.clone()
    driving[:, iris, 0] += corner[:, 0] + inwards * 1.4 * radius - face[:, iris[0], 0]
    motion, _ = eye.motion(face, driving, SIZE)
    middle = driving[:, iris[:1]].clone()  # of the iris, at last
    middle[..., 0] = corner[:, 0] + inwards * NEAREST * radius
    found = sample_at(motion, middle)
    assert found[0, 0, 0].item() == pytest.approx(face[0, iris[0], 0].item(), abs=PIXEL / 2)


def test_open_eyes_are_shown_and_lids_that_shut_are_left_to_the_decoder(face: Tensor) -> None:
    still, grid = Keypoints(torch.zeros(1, 15, 2), None, face), identity_grid(SIZE, SIZE)[None]
    _, whole = refine(grid, still, still, SIZE)
    assert whole is not None
    assert whole.shape == (1, 2, SIZE, SIZE)
    for opening in (LEFT, RIGHT):
        places = inside(opening, face)
        assert sample_at(whole.permute(0, 2, 3, 1), places)[..., 0].min() > 0.9
        _, closed = refine(grid, still, replace(still, mesh=shut(face, opening)), SIZE)
        assert closed is not None
        shown, left = sample_at(closed.permute(0, 2, 3, 1), places).unbind(-1)
        assert shown.max() < 0.05
        assert left.min() > 0.9
    far = face[:, [OUTER_LIPS[0], FOREHEAD, CHIN]]
    assert sample_at(whole.permute(0, 2, 3, 1), far).abs().max() == 0

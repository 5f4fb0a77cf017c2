"""The inside of a mouth that opens is drawn, and nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from mouths import parted, turned
from torch import Tensor
from toys import CODEBOOK

from talkhead.config import MeshConfig
from talkhead.models import build
from talkhead.models.blending import Blended
from talkhead.models.codebook import CodebookModel
from talkhead.models.grid import identity_grid, sample_at
from talkhead.models.mesh import fill
from talkhead.models.mouth import DRIVING_INSIDE, MAPS, SIZE, MouthPainter, Square, opened
from talkhead.structs import NOWHERE, Keypoints, SourceState
from talkhead.topology import INNER_LIPS, LOWER_LIP, MOUTH_CORNERS, OUTER_LIPS

PICTURE = 128


@pytest.fixture
def painter() -> MouthPainter:
    """Makes white of the grey source wherever it draws."""
    painter = MouthPainter()
    assert painter.out.bias is not None
    torch.nn.init.ones_(painter.out.bias)
    return painter


def state_of(mesh: Tensor | None) -> SourceState:
    nothing = torch.zeros(1, 15, 2)
    image = torch.zeros(1, 3, PICTURE, PICTURE)
    return SourceState(Keypoints(nothing, None, mesh), image, image, ())


def paint(
    painter: MouthPainter, source: Tensor | None, driving: Tensor | None, blends: bool = True
) -> Tensor:
    """A black picture of a grey source with its mouth painted, (3, S, S) from 0 to 1."""
    keypoints = Keypoints(torch.zeros(1, 15, 2), None, driving)
    black, still = -torch.ones(1, 3, PICTURE, PICTURE), identity_grid(PICTURE, PICTURE)[None]
    warped = torch.zeros_like(black) if blends else None
    drawn = Blended(black, black, warped, torch.ones_like(black[:, :1]))
    with torch.no_grad():
        painted, changed = painter.paint(drawn, state_of(source), still, keypoints)
    assert bool((changed[painted[:, :1] > 0.1] == 1).all())
    return (painted[0] + 1) / 2


@pytest.mark.parametrize("degrees", [0.0, 35.0, -80.0])
def test_squares_hold_the_lips_and_stand_upright(face: Tensor, degrees: float) -> None:
    mesh = turned(face, degrees)
    square = Square.around(mesh)
    lips = square.inside(mesh[:, list(OUTER_LIPS)])
    assert 0.7 < lips.abs().max() < 0.8  # 1 / AROUND
    corners = square.inside(mesh[:, list(MOUTH_CORNERS)])
    assert corners[0, 0, 0] < -0.5
    assert corners[0, 1, 0] > 0.5
    assert torch.allclose(corners[0, 0, 1], corners[0, 1, 1], atol=1e-5)
    grid = square.inside(square.places(9).flatten(1, 2))
    assert torch.allclose(grid[0], identity_grid(9, 9).flatten(0, 1), atol=1e-4)


def test_nothing_in_a_mouth_is_greener_or_bluer_than_red(
    face: Tensor, painter: MouthPainter
) -> None:
    cold = copy.deepcopy(painter)
    with torch.no_grad():
        assert cold.out.bias is not None
        cold.out.bias.copy_(torch.tensor([0.0, 0.9, 0.6]))
    mesh = parted(face, 0.12)
    red, green, blue = paint(cold, face, mesh)
    inside = fill(mesh[:, list(INNER_LIPS)], PICTURE)[0] > 0.9
    assert red[inside].min() > 0.4  # as the source is
    assert (green - red)[inside].max() < 1e-5
    assert (blue - red)[inside].max() < 1e-5


@pytest.mark.parametrize("degrees", [0.0, 30.0])
def test_what_lies_between_parted_lips_is_painted_and_nothing_beyond_them(
    face: Tensor, painter: MouthPainter, degrees: float
) -> None:
    closed, mesh = turned(face, degrees), turned(parted(face, 0.12), degrees)
    painted = paint(painter, closed, mesh)[:1, None]
    between = mesh[:, list(INNER_LIPS)].mean(1, keepdim=True)
    assert sample_at(painted.permute(0, 2, 3, 1), between).item() > 0.95
    wanted = fill(mesh[:, list(INNER_LIPS)], PICTURE)[0]
    assert painted.sum() == pytest.approx(wanted.sum().item(), rel=0.5)  # and a little on the lips
    outer = fill(mesh[:, list(OUTER_LIPS)], PICTURE)[0]
    assert (painted[0, 0] * (outer == 0)).max() < 0.05


def test_a_model_that_shows_no_source_paints_its_mouth_alike(
    face: Tensor, painter: MouthPainter
) -> None:
    wide = parted(face, 0.12)
    assert torch.allclose(paint(painter, face, wide), paint(painter, face, wide, blends=False))


def test_lips_that_are_shut_stay_as_they_are(face: Tensor, painter: MouthPainter) -> None:
    assert paint(painter, face, parted(face, 0.0)).max() < 0.05


def test_lips_that_part_at_one_point_alone_stay_as_they_are(
    face: Tensor, painter: MouthPainter
) -> None:
    wedge = parted(face, 0.0)
    wedge[:, LOWER_LIP, 1] += 0.06
    assert paint(painter, face, wedge).max() == 0


def test_an_untaught_painter_shows_the_bent_source(face: Tensor) -> None:
    painted = paint(MouthPainter(), face, parted(face, 0.12))
    assert painted.max() == 0.5
    assert painted.min() == 0


def test_without_a_face_on_either_side_nothing_is_painted(
    face: Tensor, painter: MouthPainter
) -> None:
    nowhere, wide = torch.full_like(face, NOWHERE), parted(face, 0.12)
    assert paint(painter, face, wide).max() > 0.9
    for source, driving in ((None, wide), (face, None), (nowhere, wide), (face, nowhere)):
        assert paint(painter, source, driving).abs().max() == 0


def test_the_painter_sees_both_mouths_upright_and_where_the_driving_one_is_open(
    face: Tensor,
) -> None:
    picture = identity_grid(PICTURE, PICTURE).permute(2, 0, 1)[None]  # x and y as colours
    picture = torch.cat([picture, picture[:, :1]], dim=1)
    source, driving = turned(face, 40), parted(face, 0.12)
    still = identity_grid(PICTURE, PICTURE)[None]
    seen = MouthPainter().inputs(picture, still, source, driving)
    assert seen.shape == (1, MAPS.stop, SIZE, SIZE)
    for first, mesh in ((0, source), (3, driving)):
        places = Square.around(mesh).places(SIZE)[0]
        assert torch.allclose(seen[0, first : first + 2].permute(1, 2, 0), places, atol=1e-3)
    chin_ward = Square.around(driving).inside(driving[:, [LOWER_LIP]]) - torch.tensor([0, 0.05])
    inside = seen[:, DRIVING_INSIDE : DRIVING_INSIDE + 1]
    assert sample_at(inside.permute(0, 2, 3, 1), chin_ward).item() > 0.9
    assert bool((opened(seen) >= 0.99 * inside).all())


def test_a_model_paints_mouths_and_says_that_they_are_not_the_source(face: Tensor) -> None:
    torch.manual_seed(0)
    mesh = MeshConfig(keypoints=False, motion=False, maps=False, refine=True, mouth=True)
    model = build(replace(CODEBOOK, blend_source=True, mesh=mesh)).eval()
    plain = build(replace(CODEBOOK, blend_source=True, mesh=replace(mesh, mouth=False))).eval()
    assert isinstance(model, CodebookModel)
    assert model.mouth is not None
    assert model.mouth.out.bias is not None
    torch.nn.init.ones_(model.mouth.out.bias)
    plain.load_state_dict(
        {name: x for name, x in model.state_dict().items() if not name.startswith("mouth.")}
    )
    images = torch.rand(2, 3, model.config.image_size, model.config.image_size)
    wide = parted(face, 0.3)
    with torch.no_grad():
        first, second = (
            m.render_parts(m.encode_source(images[:1], face), m.detect(images[1:], wide))
            for m in (model, plain)
        )
    changed = (first.image - second.image).abs().amax(1) > 0.05
    where = fill(wide[:, list(OUTER_LIPS)], model.config.image_size) > 0
    assert changed.any()
    assert not (changed & ~where).any()
    assert bool((first.kept <= second.kept).all())
    assert first.kept.min() < 0.1 * second.kept.min()
    trained = model.reconstruct(images[:1], images[1:], meshes=(face, wide))
    trained.image.sum().backward()
    assert all(parameter.grad is None for parameter in model.mouth.parameters())


def test_beyond_the_picture_its_rim_goes_on(face: Tensor) -> None:
    lowered = face + torch.tensor([0.0, 0.95]) - face[:, [LOWER_LIP]]
    white, still = torch.ones(1, 3, PICTURE, PICTURE), identity_grid(PICTURE, PICTURE)[None]
    seen = MouthPainter().inputs(white, still, lowered, lowered)
    assert torch.allclose(seen[:, :6], torch.ones(1, 6, SIZE, SIZE), atol=1e-5)

"""What `talkhead inspect` draws is what the models do, where they do it."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from media import frame_seconds, make_clip
from miniatures import FAMILIES, MEMORY, mini, mini_config, mini_engine, mini_preset
from typer.testing import CliRunner

from talkhead.animation.settings import RenderSettings
from talkhead.choices import Figure
from talkhead.cli import app
from talkhead.errors import TalkheadError
from talkhead.figures.activations import Activations
from talkhead.figures.color_scales import ColorScales, displace, movement
from talkhead.figures.colour import Basis, distinct, flow_colours, wheel
from talkhead.figures.inspect import Inspector, inspect
from talkhead.figures.overlays import bars, bend, mark_keypoints
from talkhead.figures.questions import QUESTIONS, answer, draw_deformation
from talkhead.figures.sheet import LABEL, text_width
from talkhead.inference.engine import Engine
from talkhead.io.image import read_image
from talkhead.models.grid import identity_grid
from talkhead.structs import Keypoints

CENTRED = RenderSettings(crop_source="none", crop_driving="none", motion="absolute")
COMMON = ["keypoints", "mesh", "deformation", "candidates"]
ANSWERS = {
    "codebook": [*COMMON, "flow", "quantized", "occlusion", "features", "codes"],
    "mcnet": [*COMMON, "occlusion", "features", "memory"],
    "fomm": [*COMMON, "occlusion", "features"],
    "tpsmm": [*COMMON, "occlusion", "features"],
}
RED, CYAN = np.array([255, 0, 0]), np.array([0, 255, 255])


@pytest.fixture
def driving(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "drive.mp4", frames=3, audio=False)


@pytest.fixture(scope="module")
def dissected(portrait: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The anatomy of a driving frame, for any engine; of each engine it is made once."""
    driving = make_clip(tmp_path_factory.mktemp("drive") / "drive.mp4", frames=2, audio=False)

    @functools.cache
    def look(engine: Engine) -> Activations:
        return Inspector(engine, portrait, driving, CENTRED).frame(1)

    return look


def test_a_shift_has_the_hue_of_its_direction_and_stillness_is_white() -> None:
    right = np.full((2, 2, 2), (3.0, 0.0))
    assert (flow_colours(right, full=3.0) == RED).all()
    assert (flow_colours(-right, full=3.0) == CYAN).all()
    assert (flow_colours(right * 0, full=3.0) == 255).all()
    half = flow_colours(right, full=6.0)[0, 0]
    assert half[0] == 255
    assert half[1] == half[2] == pytest.approx(128, abs=1)
    assert (wheel(65)[32, -1] == RED).all()
    assert (wheel(65)[32, 0] == CYAN).all()


def test_a_deformation_that_looks_to_the_left_moves_the_picture_to_the_right(dissected) -> None:  # type: ignore[no-untyped-def]
    activations = dissected(mini_engine("fomm"))
    grid = identity_grid(16, 16).numpy() - np.array([0.25, 0.0], np.float32)
    moved = movement(displace(grid), side=65)
    np.testing.assert_allclose(moved, np.broadcast_to([8.0, 0.0], moved.shape), atol=1e-5)
    picture = np.zeros((65, 65, 3), np.uint8)
    picture[:, 20] = 255
    assert bend(picture, grid)[32, :, 0].argmax() == 28
    shifted = replace(
        activations, deformation=grid, inside=replace(activations.inside, motion=grid)
    )
    as_colour = draw_deformation(shifted, ColorScales.of(shifted)).rows[0][0]
    assert np.abs(as_colour.picture - RED).max() <= 8  # the scale ends at the next whole pixel


def test_keypoints_are_drawn_where_they_are() -> None:
    value = torch.tensor([[[-0.5, -0.5], [0.5, 0.25]]])
    marked = mark_keypoints(np.zeros((101, 101, 3), np.uint8), Keypoints(value))
    assert tuple(marked[25, 25]) == distinct(0)
    assert tuple(marked[62, 75]) == distinct(1)
    assert not marked[80:, :50].any()
    grouped = mark_keypoints(np.zeros((101, 101, 3), np.uint8), Keypoints(value), group_size=2)
    assert tuple(grouped[25, 25]) == tuple(grouped[62, 75]) == distinct(0)


def test_code_counts_sum_to_the_tokens_and_stay_inside_their_allocation(dissected) -> None:  # type: ignore[no-untyped-def]
    model = mini_engine("codebook").model
    uses = dissected(mini_engine("codebook")).inside.codes
    assert [use.kind for use in uses] == ["motion"] * 4 + ["appearance"] * 4
    tokens = model.config.token_size**2
    for scale, use in enumerate(uses[:4]):
        assert use.allocated == 16 * (scale + 1) // 4
        assert len(use.counts) == use.allocated
        assert use.counts.sum() == tokens
    chart = bars(np.array([4, 0, 2]), total=6, width=60, height=23)
    tall = (chart != 255).any(-1).sum(0)
    assert (tall[5], tall[15], tall[25], tall[55]) == (22, 3, 13, 0)


def test_each_scale_starts_from_the_flow_that_the_one_before_left(dissected) -> None:  # type: ignore[no-untyped-def]
    activations = dissected(mini_engine("codebook"))
    before = displace(activations.deformation)
    for step in activations.inside.flows:
        np.testing.assert_allclose(step.before, before, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(step.after, before + step.residual, rtol=1e-5, atol=1e-5)
        assert step.decoded.shape == step.before.shape
        before = step.after
    np.testing.assert_allclose(displace(activations.inside.motion), before, rtol=1e-5, atol=1e-5)
    assert len(activations.inside.flows) == 4


def test_the_memory_shown_is_the_models_and_stays_itself_without_identity(dissected) -> None:  # type: ignore[no-untyped-def]
    engine = mini_engine("mcnet")
    memory = dissected(engine).inside.memory
    assert np.array_equal(memory.bank, engine.model.memory.bank[0].detach().numpy())
    assert list(memory.conditioned) == [8, 16, 32]
    assert not np.allclose(memory.conditioned[8], memory.bank)
    plain = replace(mini_config("mcnet"), memory=replace(MEMORY, identity=False))
    memory = dissected(Engine(mini(plain), torch.device("cpu"))).inside.memory
    assert all(np.array_equal(each, memory.bank) for each in memory.conditioned.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_anatomy_adds_up(family: str, dissected) -> None:  # type: ignore[no-untyped-def]
    activations = dissected(mini_engine(family))
    np.testing.assert_allclose(activations.contributions.sum(0), 1, atol=1e-5)
    blended = (activations.contributions[..., None] * activations.candidates).sum(0)
    np.testing.assert_allclose(blended, activations.deformation, atol=1e-4)
    assert activations.result.picture.shape == activations.source.picture.shape
    for step in activations.inside.features:
        assert step.warped.shape[1:] == (step.size, step.size)
        if step.compensated is not None:
            assert step.compensated.shape == step.warped.shape
            assert not np.allclose(step.compensated, step.warped)


def test_detail_is_shown_at_the_size_of_the_result(portrait: Path, driving: Path) -> None:
    engine = mini_engine("codebook")
    for size, shown in ((64, None), (80, (80, 80, 3))):
        activations = Inspector(engine, portrait, driving, replace(CENTRED, size=size)).frame(1)
        assert activations.result.picture.shape == (64, 64, 3)
        assert (activations.large if shown is None else activations.large.shape) == shown
        assert ("detail" in answer(activations, ColorScales.of(activations))) == (shown is not None)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_label_fits_its_panel(family: str, dissected) -> None:  # type: ignore[no-untyped-def]
    activations = dissected(mini_engine(family))
    for figure in answer(activations, ColorScales.of(activations)).values():
        for panel in (panel for row in figure.rows for panel in row):
            assert panel.label.isascii()
            assert text_width(panel.label, LABEL) <= panel.picture.shape[1], panel.label


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sheet_answers_what_its_family_knows(
    family: str, portrait: Path, driving: Path, tmp_path: Path
) -> None:
    engine = mini_engine(family)
    report = inspect(portrait, driving, tmp_path / "sheet.png", engine, CENTRED)
    assert list(report.figures) == [*ANSWERS[family], "detail"]
    assert (report.family, report.frames) == (family, 1)
    one = inspect(
        portrait, driving, tmp_path / "one.png", engine, CENTRED, frame=0, only=["occlusion"]
    )
    assert (one.frame, one.figures) == (0, ("occlusion",))
    sheet, single = read_image(tmp_path / "sheet.png"), read_image(tmp_path / "one.png")
    assert single.shape[0] < sheet.shape[0] / 4


def test_the_motion_of_a_mesh_is_called_so(portrait: Path, driving: Path, tmp_path: Path) -> None:
    config = replace(mini_preset("codebook-mesh"), blend_source=True)
    engine = Engine(mini(config), torch.device("cpu"))
    inspector = Inspector(engine, portrait, driving, CENTRED)
    activations = inspector.frame(0)
    figures = answer(activations, ColorScales.of(activations))
    labels = [panel.label for row in figures["candidates"].rows for panel in row]
    numbers = [f"kp {number}" for number in range(config.num_points)]
    assert [label.partition(":")[0] for label in labels] == ["still", *numbers, "mesh"]
    inspect(portrait, driving, tmp_path / "sheet.png", engine, CENTRED)


def test_the_telling_frame_is_the_one_that_moves_most(portrait: Path, driving: Path) -> None:
    inspector = Inspector(mini_engine("codebook"), portrait, driving, CENTRED)
    source = inspector.frame(0).source.keypoints.value
    found = [activations.driving.keypoints.value for _, activations in inspector.frames()]
    distances = [float((each - source).norm(dim=-1).mean()) for each in found]
    assert len(distances) == 3
    assert inspector.telling_frame() == int(np.argmax(distances))


def test_a_video_has_a_sheet_for_every_frame_at_its_time(
    portrait: Path, driving: Path, tmp_path: Path
) -> None:
    report = inspect(
        portrait, driving, tmp_path / "look.mp4", mini_engine("fomm"), CENTRED,
        only=["keypoints"], video=True,
    )  # fmt: skip
    assert report.frames == 3
    assert frame_seconds(tmp_path / "look.mp4") == frame_seconds(driving)


def test_one_colour_means_one_feature_throughout() -> None:
    rng = np.random.default_rng(0)
    pattern = rng.standard_normal((1, 8, 8))
    maps = np.concatenate([pattern, -pattern, 0.01 * rng.standard_normal((3, 8, 8))])
    basis = Basis.of([maps])
    assert np.array_equal(basis(maps)[::2, ::2], basis(maps[:, ::2, ::2]))
    red = basis(maps)[..., 0].astype(float)
    assert abs(np.corrcoef(red.ravel(), pattern.ravel())[0, 1]) > 0.98


def test_a_question_that_means_nothing_to_a_model_lists_those_that_do(
    portrait: Path, driving: Path, tmp_path: Path
) -> None:
    with pytest.raises(TalkheadError, match=r"no codes to show; it has keypoints.*features"):
        inspect(portrait, driving, tmp_path / "o.png", mini_engine("fomm"), CENTRED, only=["codes"])
    assert not (tmp_path / "o.png").exists()


def test_the_command_knows_every_question() -> None:
    assert list(get_args(Figure)) == list(QUESTIONS)


def test_the_command_draws_and_refuses_in_one_sentence(
    toy_weights: Path, portrait: Path, driving: Path, tmp_path: Path
) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        square = ["--crop-source", "none", "--crop-driving", "none", "--weights", toy_weights]
        command = ["inspect", portrait, *arguments, *square]
        result = CliRunner().invoke(app, [str(each) for each in command])
        return result.exit_code, result.stdout, result.stderr.strip()

    code, out, _ = run(driving, "-o", tmp_path / "o.png", "--only", "features", "--json")
    assert code == 0
    assert json.loads(out)["figures"] == ["features"]
    (tmp_path / "m.safetensors").touch()
    before = sorted(tmp_path.rglob("*"))
    cases = {
        "9": [driving, "-o", tmp_path / "p.png", "--frame", 9],
        "memory": [driving, "-o", tmp_path / "p.png", "--only", "memory"],
        "--overwrite": [driving, "-o", tmp_path / "o.png"],
        "--video": [driving, "-o", tmp_path / "p.mp4"],
        "unknown ending": [driving, "-o", tmp_path / "picture"],
        ".xyz": [driving, "-o", tmp_path / "p.xyz", "--video"],
        "no pictures": [tmp_path / "m.safetensors", "-o", tmp_path / "p.png"],
        "AVD": [driving, "-o", tmp_path / "p.png", "--motion", "avd"],
    }
    for words, arguments in cases.items():
        code, _, err = run(*arguments)
        assert code == 1, words
        assert err.startswith("error: "), err
        assert words in err
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before, words

"""The command, the files that it writes, and weights as methods."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media import moving_picture
from miniatures import mini, mini_config
from scoring import Perfect, run
from typer.testing import CliRunner

from talkhead import checkpoint
from talkhead.cli import app
from talkhead.errors import TalkheadError
from talkhead.evaluation.methods import WeightsMethod, load_methods
from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.keypoints import KeypointMetrics
from talkhead.evaluation.report.html import html_report, write_report
from talkhead.faces.crop import resize
from talkhead.inference.engine import Engine


def test_files_hold_every_frame_and_every_clip(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_report(run(data, out, Perfect()), out)
    with (out / "frames.csv").open() as file:
        frames = list(csv.DictReader(file))
    assert len(frames) == 2 * 8
    assert {row["clip"] for row in frames} == {"anna-0", "bert-0"}
    with (out / "clips.csv").open() as file:
        clips = {(r["contender"], r["case"]): float(r["l1"]) for r in csv.DictReader(file)}
    means = [
        float(r["l1"]) for r in frames if (r["contender"], r["case"]) == ("do nothing", "bert-0")
    ]
    assert clips["do nothing", "bert-0"] == pytest.approx(np.mean(means))
    scores = json.loads((out / "scores.json").read_text())
    assert scores["contenders"][0]["scores"]["l1"]["frame_mean"] == 0
    assert "| perfect | 0.0000 |" in (out / "report.md").read_text()


def test_the_report_is_one_file_with_its_pictures_inside(data: Path, tmp_path: Path) -> None:
    text = html_report(run(data, tmp_path / "out", Perfect()))
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "http" not in text
    assert text.count("data:image/jpeg;base64,") == 2
    assert text.count("<svg") == text.count("</svg>") > 3


def test_names_are_escaped_in_the_report(data: Path, tmp_path: Path) -> None:
    method = Perfect()
    method.name = "<script>alert(1)</script>"  # type: ignore[misc]
    assert "<script" not in html_report(run(data, tmp_path / "out", method))


def test_weights_with_absolute_motion_see_the_driving_frame_only(
    engine: Engine, toy_weights: Path
) -> None:
    method = WeightsMethod("toy", toy_weights, engine)
    pictures = [moving_picture(n, 64, 64) for n in (0, 9)]
    drawn = method.start(pictures[0], None)(pictures)
    assert drawn.shape == (2, 64, 64, 3)
    assert drawn.dtype == np.uint8
    keypoints = engine.detect(pictures)
    assert np.array_equal(drawn, engine.render(engine.encode(pictures[0]), keypoints))


def test_larger_pictures_are_drawn_with_detail_or_enlarged(
    engine: Engine, toy_weights: Path
) -> None:
    pictures = [moving_picture(n, 128, 128) for n in (0, 9)]
    detailed, enlarged = (
        WeightsMethod("toy", toy_weights, engine, detail=detail) for detail in (True, False)
    )
    assert detailed.key != enlarged.key
    drawn = {each.name: each.start(pictures[0], None)(pictures) for each in (detailed, enlarged)}
    assert [picture.shape for picture in drawn.values()] == [(2, 128, 128, 3)] * 2
    own = enlarged.start(resize(pictures[0], 64), None)([resize(p, 64) for p in pictures])
    assert np.array_equal(drawn["toy, enlarged"][1], resize(own[1], 128))
    assert not np.array_equal(*drawn.values())


def test_sharper_pictures_are_scored_apart(tmp_path: Path) -> None:
    model = mini(replace(mini_config("codebook"), blend_source=True))
    path = tmp_path / "blending.safetensors"
    checkpoint.save(path, model, checkpoint.Provenance("untrained, for tests", "MIT"))
    engine = Engine.load(path, device="cpu")
    methods = [WeightsMethod("toy", path, engine, sharpness=share) for share in (0.0, 0.5, 1.0)]
    assert len({method.key for method in methods}) == 3
    size = engine.image_size
    pictures = [moving_picture(n, size, size) for n in (0, 9)]
    smooth, _, sharp = (method.start(pictures[0], None)(pictures) for method in methods)
    assert not np.array_equal(smooth, sharp)
    expected = engine.render(engine.encode(pictures[0], 1.0), engine.detect(pictures))
    assert np.array_equal(sharp, expected)


def test_weights_that_show_no_source_are_not_scored_as_if_they_did(toy_weights: Path) -> None:
    load_methods([toy_weights])
    with pytest.raises(TalkheadError, match="leave out --sharpness"):
        load_methods([toy_weights], sharpness=1.0)


def test_keypoints_are_found_in_pictures_of_any_size(engine: Engine) -> None:
    driving = np.stack([moving_picture(n, 128, 128) for n in (0, 30)])
    batch = FrameBatch(driving[0], None, driving, driving[[0, 0]], Path("a.mp4"), (0, 1))
    small = np.stack([resize(picture, 64) for picture in driving])
    half = FrameBatch(small[0], None, small, small[[0, 0]], Path("a.mp4"), (0, 1))
    backend = KeypointMetrics(engine)
    ratio = backend(batch)["keypoints"][1] / backend(half)["keypoints"][1]
    assert ratio == pytest.approx(127 / 63)  # the same distance, in pixels of each


def test_keypoints_of_a_perfect_result_are_where_they_should_be(engine: Engine) -> None:
    driving = np.stack([moving_picture(n, 64, 64) for n in (0, 30)])
    backend = KeypointMetrics(engine)
    clip = Path("a.mp4")
    same = backend(FrameBatch(driving[0], None, driving, driving, clip, (0, 1)))["keypoints"]
    still = backend(FrameBatch(driving[0], None, driving, driving[[0, 0]], clip, (0, 1)))[
        "keypoints"
    ]
    assert same.tolist() == [0, 0]
    moved = engine.detect(list(driving)).value
    distance = (moved[0] - moved[1]).norm(dim=-1).mean() * 63 / 2
    assert still == pytest.approx([0, float(distance)], rel=1e-5)


def test_relative_motion_asks_for_the_source_moved_like_the_driver(engine: Engine) -> None:
    source, anchor = moving_picture(50, 64, 64), moving_picture(0, 64, 64)
    batch = FrameBatch(source, anchor, anchor[None], source[None], Path("a.mp4"), (0,))
    # A driver that has not moved since the anchor leaves the source where it is.
    assert KeypointMetrics(engine)(batch)["keypoints"] == pytest.approx([0], abs=1e-3)


def test_evaluate_command_writes_its_reports(toy_weights: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["evaluate", "--data", str(data), "-w", str(toy_weights), "-o", str(out)]
    result = CliRunner().invoke(app, [*command, "--device", "cpu", "--every", "2", "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert [row["name"] for row in facts["contenders"]] == ["toy", "do nothing"]
    assert facts["contenders"][0]["frames"] == 3 + 2
    assert {"l1", "psnr", "ssim", "keypoints"} <= facts["metrics"].keys()
    assert {path.name for path in out.iterdir()} == {
        *("cases", "report.md", "report.html", "scores.json", "frames.csv", "clips.csv")
    }


def test_evaluate_command_scores_at_a_size_with_and_without_detail(
    toy_weights: Path, data: Path, tmp_path: Path
) -> None:
    command = ["evaluate", "--data", str(data), "-w", str(toy_weights), "-o", str(tmp_path / "o")]
    result = CliRunner().invoke(app, [*command, "--metrics", "l1", "--size", "80", "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert [row["name"] for row in facts["contenders"]] == ["toy", "toy, enlarged", "do nothing"]
    refused = CliRunner().invoke(app, [*command, "--size", "-4"])
    assert refused.exit_code == 2
    assert "--size" in refused.stderr


def test_evaluate_command_says_what_is_wrong_with_its_data(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "holds no clips" in result.stderr


def test_unknown_metrics_are_refused(toy_weights: Path, data: Path) -> None:
    command = ["evaluate", "--data", str(data), "-w", str(toy_weights), "--metrics", "l1,beauty"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "beauty" in result.stderr

"""A whole evaluation with fake contenders: values, resuming, shards, broken clips, reports."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from media import make_clip, moving_picture
from PIL import Image
from typer.testing import CliRunner

from talkhead.cli import app
from talkhead.data.clips import find_test_clips
from talkhead.errors import TalkheadError
from talkhead.evaluation.clips import read_frames
from talkhead.evaluation.evaluate import score_methods
from talkhead.evaluation.methods import WeightsMethod
from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.keypoints import KeypointMetrics
from talkhead.evaluation.metrics.perceptual import InceptionFeatures, frechet_distance
from talkhead.evaluation.metrics.pixels import PixelMetrics, l1
from talkhead.evaluation.metrics.suite import MetricSuite
from talkhead.evaluation.protocols import plan_evaluation
from talkhead.evaluation.report.html import html_report, write_report
from talkhead.evaluation.report.tables import as_json, markdown
from talkhead.evaluation.results import Evaluation
from talkhead.evaluation.shards import own_device
from talkhead.evaluation.statistics import interval, summarise
from talkhead.faces.crop import resize
from talkhead.inference.engine import Engine
from talkhead.io.image import write_image

PIXELS = MetricSuite((PixelMetrics(),), None, {})
SIZE = 32


class Perfect:
    """Returns the driving frames; counts how often it is asked."""

    name, key, about = "perfect", "perfect", "cheats"

    def __init__(self) -> None:
        self.drawn = 0
        self.anchors: list[np.ndarray | None] = []

    def start(
        self, source: np.ndarray, anchor: np.ndarray | None
    ) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
        self.anchors.append(anchor)

        def draw(driving: Sequence[np.ndarray]) -> np.ndarray:
            self.drawn += len(driving)
            return np.stack(driving)

        return draw


def picture_clip(folder: Path, first: int, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        picture = moving_picture(first + 3 * number, SIZE, SIZE)
        Image.fromarray(picture).save(folder / f"{number:07d}.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two people, as frame folders of 5 and 3 frames."""
    picture_clip(tmp_path / "data" / "anna-0", 0, 5)
    picture_clip(tmp_path / "data" / "bert-0", 40, 3)
    return tmp_path / "data"


def run(data: Path, output: Path, method: Perfect, **options: object) -> Evaluation:
    found = score_methods(
        plan_evaluation("reconstruction", data), [method], PIXELS, output, size=SIZE, batch_size=2
    )
    assert found is not None
    return found


def test_a_perfect_engine_scores_zero_and_nothing_equals_a_hand_computation(
    data: Path, tmp_path: Path
) -> None:
    perfect, nothing = run(data, tmp_path / "out", Perfect()).rows
    assert perfect.scores["l1"].frame_mean == 0
    assert perfect.scores["ssim"].frame_mean == pytest.approx(1)
    assert perfect.scores["psnr"].frame_mean is None  # infinite everywhere
    clips = [[p for _, p in read_frames(clip.path, SIZE)] for clip in find_test_clips(data)]
    errors = [[l1(frames[0], frame) for frame in frames] for frames in clips]
    assert nothing.frames == 8
    assert nothing.scores["l1"].frame_mean == pytest.approx(np.mean(errors[0] + errors[1]))
    assert nothing.scores["l1"].clip_mean == pytest.approx(
        (np.mean(errors[0]) + np.mean(errors[1])) / 2
    )
    assert nothing.scores["psnr"].judged == pytest.approx(6 / 8)  # the sources themselves are not


def test_the_difference_from_doing_nothing_uses_the_frames_of_both(
    data: Path, tmp_path: Path
) -> None:
    perfect, nothing = run(data, tmp_path / "out", Perfect()).rows
    mean = nothing.scores["l1"].frame_mean
    assert mean is not None
    assert perfect.gains["l1"].frame_mean == pytest.approx(-mean)
    assert perfect.gains["psnr"].frame_mean is None


def test_a_broken_clip_is_named_and_the_rest_scored(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = make_clip(tmp_path / "whole.mp4", 20, size=(SIZE, SIZE), audio=False)
    (data / "cut-0.mp4").write_bytes(whole.read_bytes()[:900])
    (data / "text-0.mp4").write_text("this is no video")
    result = run(data, tmp_path / "out", Perfect())
    assert sorted(result.failed()) == ["cut-0", "text-0"]
    assert result.rows[0].frames == 8
    assert "cut-0" in caplog.text
    assert "text-0.mp4" in markdown(result)


def test_a_clip_with_a_broken_picture_is_left_out_and_not_held_over(
    data: Path, tmp_path: Path
) -> None:
    folder = data / "pictures-0"
    folder.mkdir()
    for number in range(6):
        write_image(folder / f"{number:03d}.png", np.full((SIZE, SIZE, 3), 40 * number, np.uint8))
    broken = folder / "003.png"
    broken.write_bytes(broken.read_bytes()[:50])
    result = run(data, tmp_path / "out", Perfect())
    assert list(result.failed()) == ["pictures-0"]
    assert "003.png" in markdown(result)


def test_a_clip_that_ends_early_is_scored_as_far_as_it_goes_and_reported(
    data: Path, tmp_path: Path
) -> None:
    whole = make_clip(
        *(tmp_path / "whole.mp4", 60),
        size=(SIZE, SIZE),
        audio=False,
        options={"movflags": "faststart"},
    )
    content = whole.read_bytes()
    (data / "early-0.mp4").write_bytes(content[: int(len(content) * 0.7)])
    result = run(data, tmp_path / "out", Perfect())
    (name,) = result.short()
    assert name == "early-0"
    frames = next(case.frames for case in result.rows[0].cases if case.case == name)
    assert 5 < len(frames) < 55
    assert result.short()[name] == (
        f"only its frames up to {frames[-1]} can be read, its header promises 60"
    )
    for text in (markdown(result), html_report(result)):
        assert "Scored in part" in text


def test_only_broken_clips_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "text.mp4").write_text("this is no video")
    with pytest.raises(TalkheadError, match="no clip could be scored"):
        run(tmp_path / "data", tmp_path / "out", Perfect())


def test_an_interrupted_evaluation_goes_on_and_a_changed_clip_is_scored_again(
    data: Path, tmp_path: Path
) -> None:
    first = run(data, tmp_path / "out", Perfect())
    again = Perfect()
    second = run(data, tmp_path / "out", again)
    assert again.drawn == 0
    assert as_json(first) == as_json(second)
    next((tmp_path / "out").rglob("perfect/bert-0.json")).write_text('{"inputs"')  # cut short
    run(data, tmp_path / "out", again)
    assert again.drawn == 3
    picture_clip(data / "anna-0" / "sub", 0, 1)  # touches the folder
    run(data, tmp_path / "out", again)
    assert again.drawn == 3 + 5


def test_shards_share_the_cases_and_the_last_reports(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run(data, tmp_path / "alone", Perfect())
    found = []
    drawn = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        method = Perfect()
        evaluation_set = plan_evaluation("reconstruction", data)
        found.append(score_methods(evaluation_set, [method], PIXELS, tmp_path / "out", size=SIZE))
        drawn.append(method.drawn)
    assert drawn == [5, 3]
    assert found[0] is None
    assert found[1] is not None
    assert as_json(found[1]) == as_json(alone)


def test_under_torchrun_every_process_takes_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert own_device("auto") == "auto"
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "6")  # of eight processes on four GPUs
    assert own_device("auto") == own_device("cuda") == "cuda:2"
    assert own_device("cpu") == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert own_device("auto") == "auto"


def test_cross_identity_has_no_truth_to_compare_pixels_with(data: Path, tmp_path: Path) -> None:
    class Brightness:
        """A metric without a truth."""

        metrics: tuple[str, ...] = ("csim",)
        key = "fake"

        def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
            return {"csim": batch.results.mean(axis=(1, 2, 3)) / 255}

    suite = MetricSuite((PixelMetrics(), Brightness()), None, {})
    evaluation_set = plan_evaluation("random-pairs", data, num_pairs=5)
    method = Perfect()
    result = score_methods(evaluation_set, [method], suite, tmp_path / "out", size=SIZE)
    assert result is not None
    assert result.metrics == ("csim",)
    assert len(result.rows[0].cases) == 2
    assert all(anchor is not None for anchor in method.anchors)
    assert "moved furthest" in html_report(result)


def test_metrics_that_need_a_truth_are_refused_where_there_is_none(
    data: Path, tmp_path: Path
) -> None:
    evaluation_set = plan_evaluation("random-pairs", data)
    with pytest.raises(TalkheadError, match="none of the metrics"):
        score_methods(
            evaluation_set, [Perfect()], PIXELS, tmp_path / "out", metrics=["l1"], size=SIZE
        )


@pytest.fixture
def with_fid() -> MetricSuite:
    """Pixels, and FID of features that are four pixels."""
    features = InceptionFeatures(lambda x: [x[:, :, :2, :2].flatten(1)], torch.device("cpu"))
    return MetricSuite((PixelMetrics(),), features, {})


def test_fid_is_of_all_results_together(data: Path, tmp_path: Path, with_fid: MetricSuite) -> None:
    features, suite = with_fid.features, with_fid
    assert features is not None
    evaluation_set = plan_evaluation("reconstruction", data)
    result = score_methods(evaluation_set, [Perfect()], suite, tmp_path / "out", size=SIZE)
    assert result is not None
    frames = [p for clip in find_test_clips(data) for _, p in read_frames(clip.path, SIZE)]
    sources = [next(read_frames(clip.path, SIZE))[1] for clip in find_test_clips(data)]
    perfect, nothing = result.rows
    assert perfect.scores["fid"].frame_mean == pytest.approx(0, abs=1e-5)
    assert perfect.scores["fid_published_codebook"].frame_mean == pytest.approx(
        frechet_distance(features(np.stack(frames)), features(np.stack(sources)))
    )
    assert nothing.scores["fid"].frame_mean > 0.001  # type: ignore[operator]
    assert "fid" not in result.frame_metrics


def test_fid_leaves_out_what_has_failed_since(
    data: Path, tmp_path: Path, with_fid: MetricSuite
) -> None:
    evaluation_set = plan_evaluation("reconstruction", data)

    def stored() -> int:
        result = score_methods(evaluation_set, [Perfect()], with_fid, tmp_path / "out", size=SIZE)
        assert result is not None
        found = len(list((tmp_path / "out").rglob("perfect/*.npz")))
        assert found == len(result.rows[0].scored)
        return found

    assert stored() == 2
    for picture in (data / "bert-0").glob("*.png"):
        picture.write_text("this is no picture")
    (data / "bert-0" / "sub").mkdir()  # touches the folder
    assert stored() == 1


def test_where_every_case_fails_fid_is_no_traceback(
    data: Path, tmp_path: Path, with_fid: MetricSuite
) -> None:
    class Failing(Perfect):
        name, key = "failing", "failing"

        def start(
            self, source: np.ndarray, anchor: np.ndarray | None
        ) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
            raise TalkheadError("cannot")

    evaluation_set = plan_evaluation("reconstruction", data)
    for methods in ([Failing(), Perfect()], [Perfect(), Failing()]):
        result = score_methods(evaluation_set, methods, with_fid, tmp_path / "out", size=SIZE)
        assert result is not None
        scores = {row.name: row.scores["fid"].frame_mean for row in result.rows}
        assert scores["failing"] is None
        assert scores["perfect"] == pytest.approx(0, abs=1e-5)
        assert "| failing |" in markdown(result)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "text.mp4").write_text("this is no video")
    evaluation_set = plan_evaluation("reconstruction", tmp_path / "broken")
    with pytest.raises(TalkheadError, match="no clip could be scored"):
        score_methods(evaluation_set, [Perfect()], with_fid, tmp_path / "out", size=SIZE)


def test_mean_over_frames_weighs_long_clips_more() -> None:
    score = summarise({"long": np.array([1.0, 1.0, 1.0]), "short": np.array([5.0, np.nan])})
    assert score.frame_mean == 2
    assert score.clip_mean == 3
    assert score.judged == pytest.approx(4 / 5)
    assert score.low is None  # two clips say nothing about others


def test_interval_by_bootstrap_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    low, high = interval(values, np.ones(400))
    assert low is not None
    assert high is not None
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_frames_of_one_clip_are_not_taken_for_independent() -> None:
    rng = np.random.default_rng(0)
    levels = rng.normal(0, 1, 20)
    sums, counts = levels * 100, np.full(20, 100.0)
    low, high = interval(sums, counts)
    assert low is not None
    assert high is not None
    assert high - low > 2 * 1.96 * levels.std() / np.sqrt(2000) * 5


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

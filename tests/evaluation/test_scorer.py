"""A whole evaluation with fake methods: values, resuming, shards, broken clips."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from media import make_clip
from PIL import Image
from scoring import PIXELS, SIZE, Perfect, picture_clip, run

from talkhead.data.clips import find_test_clips
from talkhead.errors import TalkheadError
from talkhead.evaluation.case_files import CaseFiles
from talkhead.evaluation.clips import read_frames
from talkhead.evaluation.evaluate import score_methods
from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.pixels import PixelMetrics, l1
from talkhead.evaluation.metrics.suite import MetricSuite
from talkhead.evaluation.protocols import plan_evaluation
from talkhead.evaluation.report.html import html_report
from talkhead.evaluation.report.tables import as_json, markdown
from talkhead.evaluation.scorer import Scorer
from talkhead.evaluation.shards import own_device
from talkhead.io.image import write_image


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


def test_clips_in_folders_of_people_are_scored_and_not_scored_again(tmp_path: Path) -> None:
    for number, name in enumerate(("anna/0", "anna/1", "bert/0")):
        picture_clip(tmp_path / "data" / "test" / name, 20 * number, 2)
    method = Perfect()
    for _ in range(2):
        perfect, nothing = run(tmp_path / "data", tmp_path / "out", method).rows
        assert [each.case for each in perfect.cases] == ["anna/0", "anna/1", "bert/0"]
        assert (perfect.frames, method.drawn) == (6, 6)
        assert nothing.scores["l1"].frame_mean is not None


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
    folder = (data / "anna-0").stat()
    picture = data / "anna-0" / "0000002.png"
    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)  # in place
    os.utime(data / "anna-0", ns=(folder.st_atime_ns, folder.st_mtime_ns))
    run(data, tmp_path / "out", again)
    assert again.drawn == 3 + 5


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_damaged_points_of_an_earlier_run_are_one_sentence(content: bytes, tmp_path: Path) -> None:
    files = CaseFiles(tmp_path, ("l1",))
    file = files.path("toy", "anna", "mesh.npz")
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(TalkheadError, match=r"is damaged .* delete it, and its case is scored"):
        files.followed("toy", "anna")


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
        found.append(
            score_methods(Scorer(evaluation_set, PIXELS, tmp_path / "out", SIZE), [method])
        )
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
    result = score_methods(Scorer(evaluation_set, suite, tmp_path / "out", SIZE), [method])
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
        Scorer(evaluation_set, PIXELS, tmp_path / "out", SIZE, metrics=["l1"])

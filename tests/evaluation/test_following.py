"""Motion judged by landmarks of the results: distances, openings, and the way through the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from media import moving_picture
from PIL import Image
from typer.testing import CliRunner

from talkhead.cli import app
from talkhead.data.landmarks import gaze, opening, read_landmarks
from talkhead.errors import TalkheadError
from talkhead.evaluation.metrics.following import LandmarkComparer, LandmarkComparison, slope_score
from talkhead.evaluation.metrics.landmarks import LandmarkFolder
from talkhead.io.image import read_image, write_image

SIZE = 64


def face(mouth: float, eyes: float = 0.3, shift: float = 0.0) -> np.ndarray:
    """478 points (478, 2); mouth and eyes open by these shares of their widths."""
    points = np.full((478, 2), 20.0)
    points[[61, 291, 13, 14]] = [[20, 40], [40, 40], [30, 40], [30, 40 + 20 * mouth]]
    for upper, lower, corner, other, x in ((159, 145, 33, 133, 10), (386, 374, 263, 362, 40)):
        points[[corner, other]] = [[x, 20], [x + 10, 20]]
        points[[upper, lower]] = [[x + 5, 20], [x + 5, 20 + 10 * eyes]]
    return points + np.array([shift, 0.0])


def clip(folder: Path, name: str, faces: list[np.ndarray]) -> None:
    """A clip of pictures of 64 pixels and its landmark file."""
    (folder / "clips" / name).mkdir(parents=True)
    for number in range(len(faces)):
        picture = Image.fromarray(moving_picture(3 * number, SIZE, SIZE))
        picture.save(folder / "clips" / name / f"{number:07d}.png")
    (folder / "lm").mkdir(exist_ok=True)
    np.savez(folder / "lm" / f"{name}.npz", points=np.array(faces, np.float16))


def test_openings_are_relative_to_widths() -> None:
    both = np.stack([face(0.5, 0.2), face(0.0, 0.4)])
    assert opening(both, "mouth_opening") == pytest.approx([0.5, 0])
    assert opening(both, "eye_opening") == pytest.approx([0.2, 0.4])
    dots = np.zeros((68, 2))
    dots[[48, 54, 62, 66]] = [[0, 0], [10, 0], [5, 0], [5, 4]]
    assert opening(dots, "mouth_opening") == pytest.approx(0.4)


def test_results_are_compared_with_the_driving_frames_of_the_same_numbers(tmp_path: Path) -> None:
    clip(tmp_path, "anna-0", [face(m) for m in (0.0, 0.1, 0.2, 0.3, 0.4)])
    (tmp_path / "results" / "key").mkdir(parents=True)
    # Frame 2 is missing; the others are 3 pixels to the right and open half as far.
    points = np.array([face(0.2, shift=3), face(0.0, shift=3)])
    np.savez(tmp_path / "results" / "key" / "anna-0.npz", points=points, frames=[4, 0])
    follower = LandmarkComparer(LandmarkFolder(tmp_path / "lm"), tmp_path / "results")
    found = follower.follow("key", "anna-0", tmp_path / "clips" / "anna-0", (0, 2, 4), SIZE)
    assert found is not None
    assert np.isnan(found.distance[1])
    assert found.distance[0] == pytest.approx(3, abs=0.01)
    driver, result = found.openings["mouth_opening"][:, [0, 2]]
    assert driver == pytest.approx([0, 0.4], abs=1e-3)
    assert result == pytest.approx([0, 0.2], abs=1e-3)
    assert found.slope("mouth_opening") == pytest.approx(0.5, abs=2e-3)


def test_driving_landmarks_are_in_pixels_of_the_clip_wherever_it_is_cut_and_resized(
    tmp_path: Path,
) -> None:
    (tmp_path / "wide").mkdir()
    Image.fromarray(np.zeros((100, 180, 3), np.uint8)).save(tmp_path / "wide" / "0.png")
    np.savez(tmp_path / "wide.npz", points=np.full((1, 68, 3), [90.0, 50.0, 7.0]))
    points = LandmarkFolder(tmp_path).points(tmp_path / "wide", 50)
    assert points is not None
    assert points[0, 0].tolist() == [25, 25]


def test_the_slope_of_a_set_is_one_line_with_every_case_about_its_own_mean() -> None:
    rng = np.random.default_rng(0)
    clips, driver, result = [], [], []
    for level, gain in ((0.1, 0.5), (0.6, 0.9)):
        moved = level + rng.normal(0, 0.1, 50)
        shown = 0.3 - level + gain * moved
        nothing = np.full((2, 50), np.nan)
        clips.append([LandmarkComparison(nothing[0], {"mouth_opening": np.stack([moved, shown])})])
        driver.append(moved - moved.mean())
        result.append(shown - shown.mean())
    score = slope_score(clips, "mouth_opening", frames=200)
    fit = np.polyfit(np.concatenate(driver), np.concatenate(result), 1)[0]
    assert score.frame_mean == pytest.approx(fit)
    assert score.clip_mean == pytest.approx((0.5 + 0.9) / 2)
    assert score.judged == 0.5  # the set has twice as many frames as there are landmarks for
    assert slope_score([], "mouth_opening", 10).frame_mean is None


def test_a_face_that_was_not_found_is_not_judged() -> None:
    openings = np.array([[0.1, 0.2, np.nan, 0.4], [0.2, np.nan, 0.1, 0.8]])
    found = LandmarkComparison(np.zeros(4), {"mouth_opening": openings})
    assert found.moments("mouth_opening")[2] == 2
    assert found.slope("mouth_opening") == pytest.approx(2)


def test_landmarks_of_another_kind_are_refused(tmp_path: Path) -> None:
    clip(tmp_path, "anna-0", [face(0.0)])
    (tmp_path / "results" / "key").mkdir(parents=True)
    np.savez(tmp_path / "results" / "key" / "anna-0.npz", points=np.zeros((1, 68, 2)))
    follower = LandmarkComparer(LandmarkFolder(tmp_path / "lm"), tmp_path / "results")
    with pytest.raises(TalkheadError, match="478 points"):
        follower.follow("key", "anna-0", tmp_path / "clips" / "anna-0", (0,), SIZE)


def test_evaluate_keeps_frames_and_reads_their_landmarks(toy_weights: Path, tmp_path: Path) -> None:
    faces = [face(0.1 * n, shift=n) for n in range(4)]
    clip(tmp_path, "anna-0", faces)
    command = [
        *("evaluate", "--data", str(tmp_path / "clips"), "-w", str(toy_weights), "--json"),
        *("-o", str(tmp_path / "out"), "--frames-out", str(tmp_path / "frames")),
        *("--landmarks", str(tmp_path / "lm"), "--every", "2", "--device", "cpu"),
        *("--metrics", "l1,landmarks,mouth_opening"),
    ]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    seen = json.loads(first.stdout)["contenders"][0]["scores"]["landmarks"]
    assert seen["judged"] == 0  # the face mesh sees nobody in these pictures
    (folder,) = [path for path in (tmp_path / "frames").iterdir() if path.name.startswith("toy")]
    pictures = sorted(path.name for path in (folder / "anna-0").iterdir())
    assert pictures == ["0000000.png", "0000002.png"]
    source = np.array(Image.open(tmp_path / "clips" / "anna-0" / "0000000.png"))
    nothing = np.array(Image.open(tmp_path / "frames" / "do-nothing" / "anna-0" / pictures[1]))
    assert np.array_equal(nothing, source)  # exact, not through a lossy file

    for key, shown in ((folder.name, [faces[0], faces[2]]), ("do-nothing", [faces[0]] * 2)):
        (tmp_path / "found" / key).mkdir(parents=True)
        np.savez(tmp_path / "found" / key / "anna-0.npz", points=np.array(shown), frames=[0, 2])
    again = [*command, "--overwrite", "--result-landmarks", str(tmp_path / "found")]
    second = CliRunner().invoke(app, again)
    assert second.exit_code == 0, second.output
    toy, nothing_row = json.loads(second.stdout)["contenders"]
    assert toy["scores"]["landmarks"]["frame_mean"] == pytest.approx(0, abs=0.02)
    assert toy["scores"]["mouth_opening"]["frame_mean"] == pytest.approx(1, abs=0.01)
    assert nothing_row["scores"]["landmarks"]["frame_mean"] == pytest.approx(1, abs=0.05)
    assert nothing_row["scores"]["mouth_opening"]["frame_mean"] == pytest.approx(0, abs=1e-3)
    assert "Mouth opening where it moves most" in (tmp_path / "out" / "report.html").read_text()


def test_landmarks_of_results_need_those_of_the_clips(toy_weights: Path, tmp_path: Path) -> None:
    clip(tmp_path, "anna-0", [face(0.0)])
    command = ["evaluate", "--data", str(tmp_path / "clips"), "-w", str(toy_weights)]
    result = CliRunner().invoke(app, [*command, "--result-landmarks", str(tmp_path)])
    assert result.exit_code == 1
    assert "--landmarks" in result.stderr


def test_frames_by_number_count_from_zero_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", points=np.zeros((2, 68, 2)))
    np.savez(tmp_path / "b.npz", points=np.zeros((2, 68, 2)), frames=[10, 20])
    assert list(read_landmarks(tmp_path / "a.npz").by_frame()) == [0, 1]
    assert list(read_landmarks(tmp_path / "b.npz").by_frame()) == [10, 20]


def test_the_face_mesh_judges_motion_without_files(toy_weights: Path, tmp_path: Path) -> None:
    """A portrait that is shifted: doing nothing is off by the shift, and its gaze never moves."""
    portrait = read_image(Path(__file__).parents[2] / "examples" / "portrait.jpg")
    folder = tmp_path / "clips" / "anna-0"
    folder.mkdir(parents=True)
    for number in range(3):
        left = 126 - 8 * number
        write_image(folder / f"{number:07d}.png", portrait[20:220, left : left + 200])
    command = [
        *("evaluate", "--data", str(tmp_path / "clips"), "-w", str(toy_weights), "--json"),
        *("-o", str(tmp_path / "out"), "--device", "cpu", "--overwrite"),
        *("--metrics", "landmarks,mouth_opening,eye_opening,gaze,l1_mouth"),
    ]
    for _ in range(2):  # computed, then read again
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        nothing = json.loads(done.stdout)["contenders"][-1]["scores"]
        shift = 8 * SIZE / 200
        assert nothing["landmarks"]["judged"] == 1
        assert nothing["landmarks"]["frame_mean"] == pytest.approx(shift, rel=0.15)
        assert nothing["gaze"]["frame_mean"] == pytest.approx(0, abs=0.05)
        assert nothing["l1_mouth"]["frame_mean"] > 0


def test_gaze_is_where_the_irises_lie_between_the_corners() -> None:
    points = face(0.1)
    points[[33, 133, 468]] = [[10, 20], [20, 20], [12.5, 21]]
    points[[362, 263, 473]] = [[40, 20], [50, 20], [42.5, 19]]
    assert gaze(points) == pytest.approx(0.25)
    assert np.isnan(gaze(np.zeros((3, 68, 2)))).all()

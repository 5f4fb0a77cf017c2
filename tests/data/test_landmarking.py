"""Landmark files are made once, by the bundled mesh, and read as any others."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from media import make_clip
from typer.testing import CliRunner

from talkhead.cli import app
from talkhead.data.landmarking import landmark_file, landmarks_beside, make_landmarks
from talkhead.data.landmarks import find_landmarks, read_landmarks
from talkhead.errors import TalkheadError
from talkhead.io.image import read_image, write_image
from talkhead.structs import Face
from talkhead.training.data.portraits import load_portraits
from talkhead.training.options import AUTO, TrainOptions
from talkhead.training.run_data import landmark_folder

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
EYE = (196 - 100, 100 - 20)  # outer corner of the left one, in `moving`'s first frame


def moving(number: int) -> np.ndarray:
    """A face that moves 4 pixels to the right with every frame."""
    return read_image(PORTRAIT)[20:220, 100 - 4 * number : 300 - 4 * number]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "clips" / "train" / "anna"
    folder.mkdir(parents=True)
    pictures = [moving(n) for n in range(4)] + [np.zeros((200, 200, 3), np.uint8)]
    return make_clip(folder / "1.mp4", 5, size=(200, 200), audio=False, pictures=pictures)


def test_the_mesh_of_every_frame_is_written_where_training_looks(clip: Path) -> None:
    folder = landmarks_beside(clip.parents[2])
    assert folder.name == "clips-landmarks"
    make_landmarks([clip], folder)
    file = find_landmarks(folder, clip, "1")
    assert file == landmark_file(folder, clip)
    points = read_landmarks(file).meshes
    assert points.shape == (5, 478, 3)
    assert np.abs(points[0, 33, :2] - EYE).max() < 5
    moved = points[1:4, :, 0].mean(1) - points[:3, :, 0].mean(1)
    assert moved == pytest.approx(4, abs=1)
    assert np.isnan(points[4]).all()  # nobody is there


def test_landmarks_of_a_link_and_of_a_relative_path_are_found(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "talkhead.data.landmarking.clip_landmarks", lambda *_: np.zeros((5, 478, 3), np.float32)
    )
    link = tmp_path / "other" / "train" / "anna.mp4"
    link.parent.mkdir(parents=True)
    link.symlink_to(clip)
    monkeypatch.chdir(clip.parent)
    for named in (link, Path(clip.name), Path("..", clip.parent.name, clip.name)):
        folder = tmp_path / f"marks-{len(named.parts)}"
        make_landmarks([named], folder)
        assert find_landmarks(folder, named, named.stem) is not None


def test_files_are_made_once_and_again_when_the_clip_changes(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def count(path: Path, finder: object) -> np.ndarray:
        made.append(path)
        return np.zeros((5, 478, 3), np.float32)

    monkeypatch.setattr("talkhead.data.landmarking.clip_landmarks", count)
    folder = landmarks_beside(clip.parents[2])
    for _ in range(2):
        make_landmarks([clip], folder)
    assert made == [clip]
    os.utime(clip, (1, 1))
    make_landmarks([clip], folder)
    for damage in (b"cut off", b"PK\x03\x04cut off"):
        landmark_file(folder, clip).write_bytes(damage)
        make_landmarks([clip], folder)
    assert made == [clip] * 4


def test_files_that_somebody_else_made_are_left_alone(clip: Path) -> None:
    folder = landmarks_beside(clip.parents[2])
    file = landmark_file(folder, clip)
    file.parent.mkdir(parents=True)
    np.savez(file, points=np.full((5, 478, 2), 7.0))
    before = file.read_bytes()
    make_landmarks([clip], folder)
    assert file.read_bytes() == before


def test_pictures_share_one_file_that_the_portraits_are_read_with(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(2):
        write_image(tmp_path / "photos" / f"p{number}.png", moving(number))
    write_image(tmp_path / "photos" / "wall.png", np.full((200, 200, 3), 99, np.uint8))
    pictures = sorted((tmp_path / "photos").iterdir())
    make_landmarks([], tmp_path / "lm", pictures)
    library = load_portraits(tmp_path / "photos", tmp_path / "lm", 64)
    (marks,) = library.landmarks
    assert marks is not None
    assert marks.shape == (2, 478, 3)  # the wall has none
    assert ((marks[0, 33, :2] + 1) * 100) == pytest.approx(EYE, abs=5)


def test_two_clips_never_share_a_file(tmp_path: Path) -> None:
    clips = [tmp_path / root / "x" / "train" / "anna" / "1.mp4" for root in "ab"]
    with pytest.raises(TalkheadError, match="same landmark file"):
        make_landmarks(clips, tmp_path / "lm")


def test_a_folder_that_cannot_be_written_is_told(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "lm").write_text("a file")
    with pytest.raises(TalkheadError, match="cannot write landmarks"):
        make_landmarks([clip], tmp_path / "lm")


def test_an_unreadable_clip_is_left_to_who_reads_it(tmp_path: Path) -> None:
    (tmp_path / "1.mp4").write_bytes(b"no video")
    make_landmarks([tmp_path / "1.mp4"], tmp_path / "lm")
    assert not (tmp_path / "lm").exists()


def test_landmarks_lie_beside_the_data_or_in_the_run_where_that_is_read_only(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clip.parents[2]
    options = TrainOptions((data,), tmp_path / "run", landmarks=AUTO)
    assert landmark_folder(options) == tmp_path / "clips-landmarks"
    monkeypatch.setattr("os.access", lambda *_: False)
    assert landmark_folder(options) == tmp_path / "run" / "landmarks"
    assert landmark_folder(TrainOptions((data,), tmp_path, landmarks=data)) == data


def test_synth_finds_landmarks_of_what_it_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = Face(np.ones((478, 3), np.float32), 1.0)
    monkeypatch.setattr("talkhead.data.landmarking.FaceTracker.update", lambda *_: face)
    command = ["synth", "-o", str(tmp_path / "heads"), "--identities", "1", "--clips", "1"]
    command += ["--seconds", "0.2", "--size", "64", "--landmarks", "--quiet"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (drawn,) = (tmp_path / "heads" / "train").iterdir()
    file = find_landmarks(tmp_path / "heads-landmarks", drawn, drawn.stem)
    assert file is not None
    assert read_landmarks(file).points.shape == (5, 478, 2)

"""What drives: anchors, recorded motion, and drivers that are read once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media import frame_seconds, frames_of, make_clip, make_pictures
from rendering import CENTRED, settings

from talkhead.animation.animator import Animator
from talkhead.animation.driving import VideoMotion, find_anchor, open_driving
from talkhead.errors import TalkheadError
from talkhead.faces.finder import FaceFinder
from talkhead.inference.engine import Engine
from talkhead.motion.template import load_motion
from talkhead.video import VideoReader, VideoWriter


def test_numbered_anchor_is_that_frame(engine: Engine, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=6)
    source = make_clip(tmp_path / "other.mp4", frames=1, size=(80, 80), audio=False)
    photo = frames_of(source)[0][:64, :64]
    found = engine.encode(photo)
    driver = VideoMotion(driving, engine, CENTRED, FaceFinder())
    number, keypoints = find_anchor(driver, found.keypoints, settings(anchor="4"))
    assert number == 4
    assert keypoints is not None
    assert np.allclose(keypoints.value, driver.motion().keypoints.value[4:5])


def test_anchor_beyond_the_end_says_how_many_frames_there_are(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=5)
    with pytest.raises(TalkheadError, match="5 frames"):
        Animator(engine)(portrait, driving, tmp_path / "out.mp4", settings(anchor="5"))


def test_a_folder_of_one_picture_is_refused_and_its_reader_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_pictures(tmp_path / "one", 1)
    closed: list[Path] = []
    monkeypatch.setattr(VideoReader, "close", lambda reader: closed.append(reader.path))
    with pytest.raises(TalkheadError, match="holds one picture, which does not move"):
        open_driving(folder, CENTRED)
    assert closed == [folder]


def test_recorded_motion_gives_the_same_video_without_the_pictures(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=6, audio=False)
    lossless = settings(codec="ffv1")
    render = Animator(engine)
    cache = tmp_path / "motion.safetensors"
    render(portrait, driving, tmp_path / "a.mkv", lossless, motion_out=cache)
    render(portrait, load_motion(cache), tmp_path / "b.mkv", lossless)
    assert np.array_equal(frames_of(tmp_path / "a.mkv"), frames_of(tmp_path / "b.mkv"))
    assert frame_seconds(tmp_path / "a.mkv") == frame_seconds(tmp_path / "b.mkv")


def test_recorded_motion_replaces_nothing_unasked(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    photo = tmp_path / "photo.png"
    photo.write_bytes(portrait.read_bytes())
    taken = tmp_path / "other.safetensors"
    taken.write_bytes(b"precious")
    render, output = Animator(engine), tmp_path / "out.mp4"
    with pytest.raises(TalkheadError, match="also an input"):
        render(photo, driving, output, CENTRED, motion_out=photo, overwrite=True)
    with pytest.raises(TalkheadError, match="--overwrite"):
        render(photo, driving, output, CENTRED, motion_out=taken)
    assert photo.read_bytes() == portrait.read_bytes()
    assert taken.read_bytes() == b"precious"
    render(photo, driving, output, CENTRED, motion_out=taken, overwrite=True)
    assert len(load_motion(taken).pts) == 2


def test_motion_recorded_of_a_part_begins_at_zero_and_is_taken_whole(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=20)
    part = settings(start=0.4, frames=5)
    motion = tmp_path / "m.safetensors"
    Animator(engine)(portrait, driving, tmp_path / "a.mp4", part, motion_out=motion)
    Animator(engine)(portrait, load_motion(motion), tmp_path / "b.mp4", CENTRED)
    assert frame_seconds(tmp_path / "b.mp4") == frame_seconds(tmp_path / "a.mp4")
    assert frame_seconds(tmp_path / "b.mp4")[0] == 0
    with pytest.raises(TalkheadError, match="taken whole"):
        Animator(engine)(portrait, load_motion(motion), tmp_path / "c.mp4", part)


def test_a_driver_that_has_changed_is_read_anew(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    render = Animator(engine)
    for frames in (4, 3):
        driving = make_clip(tmp_path / "drive.mp4", frames=frames)
        assert render(portrait, driving, tmp_path / f"{frames}.mp4", CENTRED).frames == frames


@pytest.mark.parametrize("wish", [{"motion": "absolute"}, {"anchor": "first"}, {}])
def test_keypoints_are_found_once_for_all_renders(
    engine: Engine,
    portrait: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wish: dict[str, str],
) -> None:
    looked: list[int] = []
    detect = Engine.detect
    monkeypatch.setattr(
        Engine, "detect", lambda self, *found: looked.append(len(found[0])) or detect(self, *found)
    )
    driving = make_clip(tmp_path / "drive.mp4", frames=6)
    render = Animator(engine)
    for name in ("a", "b"):
        render(portrait, driving, tmp_path / f"{name}.mp4", settings(**wish))
    assert sum(looked) == 6 + (wish == {"anchor": "first"})


def test_each_portrait_of_a_grid_moves_from_its_own_anchor(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mkv", frames=6, size=(64, 64), codec="ffv1", audio=False)
    pictures = make_pictures(tmp_path / "photos", count=2, size=(64, 64))
    portraits = [pictures / "frame_1.png", pictures / "frame_2.png"]
    alone = settings(codec="ffv1")
    render = Animator(engine)
    anchors = [render(p, driving, tmp_path / f"{p.stem}.mkv", alone).anchor for p in portraits]
    assert anchors[0] != anchors[1]
    render(portraits, driving, tmp_path / "grid.mkv", replace(alone, layout="grid"))
    grid = frames_of(tmp_path / "grid.mkv").astype(int)
    cells = grid[:, :64, 64:], grid[:, 64:, :64]
    for cell, each in zip(cells, portraits, strict=True):
        assert np.abs(cell - frames_of(tmp_path / f"{each.stem}.mkv")).max() <= 1


def test_motion_is_kept_only_of_what_was_rendered(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=4)
    call = (portrait, driving, tmp_path / "out.mp4", CENTRED)
    motion = tmp_path / "m.safetensors"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Animator(engine)(*call, motion_out=motion)
    assert not motion.exists()
    Animator(engine)(*call, motion_out=motion)  # the same call again goes on
    assert len(load_motion(motion).pts) == 4
    with pytest.raises(TalkheadError, match="is also"):
        Animator(engine)(*call, motion_out=tmp_path / "out.mp4", overwrite=True)


@pytest.mark.parametrize("driving", ["frames", "frames/*.png", "frames/frame_%d.png"])
def test_folder_or_pattern_of_pictures_drives(
    driving: str, engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "frames", count=5)
    report = Animator(engine)(portrait, tmp_path / driving, tmp_path / "out.mp4", CENTRED)
    assert report.frames == 5


def test_driver_without_a_face_says_what_to_do(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=5)
    with pytest.raises(TalkheadError, match="--crop-driving"):
        Animator(engine)(portrait, driving, tmp_path / "out.mp4", settings(crop_driving="auto"))
    assert list(tmp_path.iterdir()) == [driving]

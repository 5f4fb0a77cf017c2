"""Renders that are done again: what goes on, what is kept, and what is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from media import frame_seconds, frames_of, make_clip, make_pictures
from rendering import CENTRED, settings

from talkhead.animation.animator import Animator
from talkhead.animation.fingerprint import fingerprint
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.motion.template import MotionTemplate
from talkhead.structs import Keypoints
from talkhead.video import VideoWriter
from talkhead.video.pictures import picture_files
from talkhead.video.sound import SoundFeed


def test_interrupted_render_goes_on_where_it_was(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=12)
    whole = tmp_path / "whole.mkv"
    lossless = settings(codec="ffv1")
    Animator(engine)(portrait, driving, whole, lossless)

    output = tmp_path / "out.mkv"
    real = VideoWriter.write

    def short_segments(self: VideoWriter, rgb: np.ndarray, pts: int) -> None:
        self._segment_frames = 4
        real(self, rgb, pts)

    def interrupted(self: VideoWriter, rgb: np.ndarray, pts: int) -> None:
        if self.frames_done == 8:
            raise KeyboardInterrupt
        short_segments(self, rgb, pts)

    monkeypatch.setattr(VideoWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Animator(engine)(portrait, driving, output, lossless)
    assert not output.exists()

    monkeypatch.setattr(VideoWriter, "write", short_segments)
    report = Animator(engine)(portrait, driving, output, lossless)
    assert report.resumed == 8
    assert report.frames == 12
    assert frame_seconds(output) == frame_seconds(whole)
    assert np.array_equal(frames_of(output), frames_of(whole))


def test_work_is_not_gone_on_with_at_another_size(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=3)
    wishes = [settings(size=size) for size in (64, 80)] + [
        settings(paste_back=True, max_side=side) for side in (64, 80)
    ]
    assert len({fingerprint(engine, [portrait], folder, wish) for wish in wishes}) == 4


def test_work_is_not_gone_on_with_at_another_strength(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=3)
    wishes = [settings(**{part: 0.5}) for part in ("mouth", "eyes", "head", "gaze")]
    prints = {fingerprint(engine, [portrait], folder, wish) for wish in (CENTRED, *wishes)}
    assert len(prints) == 5


def test_work_is_not_gone_on_with_once_what_drives_it_has_changed(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=3)
    before = fingerprint(engine, [portrait], folder, CENTRED)
    assert fingerprint(engine, [portrait], folder, CENTRED) == before
    (folder / "frame_2.png").write_bytes(portrait.read_bytes())  # in place: the folder is as it was
    assert fingerprint(engine, [portrait], folder, CENTRED) != before

    keypoints = Keypoints(torch.zeros(2, 3, 2), torch.ones(2, 3, 2, 2))
    facts = (Fraction(1, 25), engine.weights, "drive.mp4")
    recorded = MotionTemplate(keypoints, (0, 1), *facts)
    others = (
        MotionTemplate(replace(keypoints, value=keypoints.value + 1), (0, 1), *facts),
        MotionTemplate(replace(keypoints, jacobian=None), (0, 1), *facts),
        MotionTemplate(keypoints, (0, 2), *facts),
    )
    prints = [fingerprint(engine, [portrait], m, CENTRED) for m in (recorded, *others)]
    assert len(set(prints)) == 4


def test_another_video_track_is_other_work(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=3)
    works = {
        fingerprint(engine, [portrait], driving, settings(video_track=track))
        for track in (None, 0, 1)
    }
    assert len(works) == 3


def test_what_cannot_be_muxed_keeps_its_frames_for_a_render_without_sound(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=6, audio_tracks=2)

    def fail(self: SoundFeed) -> Iterator[av.Packet]:
        raise av.ArgumentError(22, "Invalid argument")
        yield

    with monkeypatch.context() as broken:
        broken.setattr(SoundFeed, "packets", fail)
        with pytest.raises(
            TalkheadError, match="frames are kept; the same command with --no-sound"
        ):
            Animator(engine)(portrait, driving, tmp_path / "out.mp4", CENTRED)
    report = Animator(engine)(portrait, driving, tmp_path / "out.mp4", settings(sound=False))
    assert (report.resumed, report.frames, report.sound_track) == (6, 6, None)
    with monkeypatch.context() as broken:
        broken.setattr(SoundFeed, "packets", fail)
        with pytest.raises(TalkheadError):
            Animator(engine)(portrait, driving, tmp_path / "b.mp4", CENTRED)
    report = Animator(engine)(portrait, driving, tmp_path / "b.mp4", settings(track=1))
    assert (report.resumed, report.sound_track, report.video_track) == (6, 1, 0)


@pytest.mark.parametrize("output", ["out", "f_%03d.png"])
def test_pictures_are_replaced_only_on_demand_and_then_all_of_them(
    output: str, engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_pictures(tmp_path / "frames", count=4)
    path = tmp_path / output
    Animator(engine)(portrait, driving, path, CENTRED)
    first = {file: file.read_bytes() for file in picture_files(path)}
    shorter = settings(frames=2, size=32)
    with pytest.raises(TalkheadError, match="exists; pass --overwrite"):
        Animator(engine)(portrait, driving, path, shorter)
    assert {file: file.read_bytes() for file in picture_files(path)} == first
    Animator(engine)(portrait, driving, path, shorter, overwrite=True)
    assert picture_files(path) == list(first)[:2]
    assert frames_of(path).shape == (2, 32, 32, 3)


def test_pictures_that_drive_are_not_replaced(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=2)
    with pytest.raises(TalkheadError, match="also an input"):
        Animator(engine)(portrait, folder, folder / "frame_%d.png", CENTRED, overwrite=True)


def test_existing_output_is_kept(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    output = tmp_path / "out.mp4"
    output.write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="--overwrite"):
        Animator(engine)(portrait, driving, output, CENTRED)
    assert output.read_bytes() == b"precious"
    Animator(engine)(portrait, driving, output, CENTRED, overwrite=True)
    assert len(frame_seconds(output)) == 2


def test_output_may_not_be_an_input(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    with pytest.raises(TalkheadError, match="also an input"):
        Animator(engine)(portrait, driving, driving, CENTRED, overwrite=True)


def test_what_cannot_be_written_is_told_before_the_driver_is_read(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the driver was read")

    monkeypatch.setattr(Engine, "detect", refuse)
    driving = make_clip(tmp_path / "drive.mp4", frames=3)
    for name, wish in (("a.avi", {}), ("a.mp4", {"codec": "prores"}), ("a.mp4", {"track": 3})):
        with pytest.raises(TalkheadError):
            Animator(engine)(portrait, driving, tmp_path / name, settings(**wish))
    assert list(tmp_path.iterdir()) == [driving]

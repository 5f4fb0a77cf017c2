"""Which of a file's tracks are taken, and what is said about it."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from media import forget_codec, make_clip, moving_picture
from test_video_sound import copy

from talkhead.errors import TalkheadError
from talkhead.video import VideoReader, open_pipe, probe
from talkhead.video.sound import Sound

ALAC = {"audio_codec": "alac"}  # found by its four letters alone
COLOURS = [(200, 30, 30), (30, 160, 60), (40, 60, 200)]


def make_tracks(path: Path, marked: int | None, count: int = 2) -> Path:
    """Video tracks of one plain colour each, 10 frames; `marked` is the default one."""
    with av.open(str(path), "w") as output:
        tracks = []
        for number in range(count):
            track = output.add_stream("libx264", rate=25)
            track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
            track.disposition = Disposition.default if number == marked else Disposition(0)
            tracks.append(track)
        for time in range(10):
            for number, track in enumerate(tracks):
                rgb = np.full((48, 64, 3), COLOURS[number], np.uint8)
                frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = time, Fraction(1, 25)
                output.mux(track.encode(frame))
        for track in tracks:
            output.mux(track.encode(None))
    return path


def shown(path: Path, track: int | None = None) -> int:
    """Number of the colour that a reader shows, after checking that it shows all frames of it."""
    frames = [frame.rgb.reshape(-1, 3).mean(axis=0) for frame in VideoReader(path, track=track)]
    assert len(frames) == 10
    nearest = {int(np.abs(np.array(COLOURS) - rgb).sum(axis=1).argmin()) for rgb in frames}
    (number,) = nearest
    return number


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("marked", [0, 1, 2])
def test_the_default_video_track_comes_before_others(
    tmp_path: Path, suffix: str, marked: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_tracks(tmp_path / f"a{suffix}", marked, count=3)
    assert shown(path) == probe(path).track == marked
    assert f"3 video tracks; track {marked} is used" in caplog.text
    assert [shown(path, track) for track in range(3)] == [0, 1, 2]
    with pytest.raises(TalkheadError, match="no video track 3; choose from 0 to 2"):
        VideoReader(path, track=3)
    with path.open("rb") as stream:
        piped = [frame.rgb for frame in open_pipe(stream, track=2)]
    assert np.abs(piped[0].reshape(-1, 3).mean(axis=0) - COLOURS[2]).max() < 12


@pytest.mark.parametrize("marked", [0, None])
def test_a_video_track_that_cannot_be_decoded_is_passed_over(
    tmp_path: Path, marked: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = forget_codec(make_tracks(tmp_path / "a.mp4", marked), "avc1", 0)
    assert shown(path) == probe(path).track == 1
    assert "2 video tracks (0 cannot be decoded here); track 1 is used" in caplog.text
    with pytest.raises(TalkheadError, match=r"track 0 .* cannot be decoded"):
        VideoReader(path, track=0)
    with pytest.raises(TalkheadError, match="cannot be decoded here; convert"):
        VideoReader(forget_codec(path, "avc1", 0))


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_sound_track_that_cannot_be_decoded_is_passed_over(
    tmp_path: Path, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = forget_codec(make_clip(tmp_path / "a.mp4", 25, **ALAC, audio_tracks=3), "alac", lost)
    taken = 1 if lost == 0 else 0
    copy(path, tmp_path / "o.mp4")
    assert probe(tmp_path / "o.mp4").audio_codec == "alac"
    assert Sound.find(path).track == taken
    assert f"3 sound tracks ({lost} cannot be decoded here); track {taken} is used" in caplog.text
    with pytest.raises(TalkheadError, match=f"sound track {lost} .* cannot be decoded"):
        Sound.find(path, lost)
    assert Sound.find(path, 3 - lost - taken).track == 3 - lost - taken


def test_sound_that_cannot_be_decoded_at_all_leaves_the_result_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = forget_codec(make_clip(tmp_path / "a.mp4", 25, **ALAC), "alac", 0)
    times = copy(path, tmp_path / "o.mp4")
    assert len(times) == 25
    assert probe(path).audio_codec is None
    assert probe(tmp_path / "o.mp4").audio_tracks == 0
    assert "cannot be decoded here; the result is silent" in caplog.text


def test_one_track_of_each_kind_is_no_matter_to_talk_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy(make_clip(tmp_path / "a.mp4", 5), tmp_path / "o.mp4")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_cover_picture_before_the_video_is_not_the_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        still = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        output.mux(cover.encode(still.reformat(format="yuvj420p")))
        output.mux(cover.encode(None))
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(moving_picture(number), "rgb24")
            output.mux(video.encode(frame.reformat(format="yuv420p")))
        output.mux(video.encode(None))
    assert [frame.rgb.shape for frame in VideoReader(path)] == [(48, 64, 3)] * 5
    with pytest.raises(TalkheadError, match="no video track 1"):
        VideoReader(path, track=1)

"""Reading videos and picture sequences."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from media import make_clip, make_pictures, make_sound, moving_picture

from talkhead.errors import TalkheadError
from talkhead.video import VideoReader, probe


def seconds(path: Path, **selection: float) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in VideoReader(path, **selection)]


def test_every_frame_comes_with_its_exact_time(tmp_path: Path) -> None:
    pts = [0, 512, 1100, 5000, 5001, 9000]
    path = make_clip(tmp_path / "vfr.mp4", pts=pts, time_base=Fraction(1, 15360))
    frames = list(VideoReader(path))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(t, 15360) for t in pts]
    assert frames[3].rgb.shape == (48, 64, 3)
    assert frames[3].rgb.dtype == np.uint8
    assert np.abs(frames[3].rgb.astype(int) - moving_picture(3)).mean() < 4


def test_info_describes_the_file(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "clip.mp4", 10, rotation=90, audio_tracks=2))
    assert (info.width, info.height) == (48, 64)
    assert (info.frames, info.rate, info.duration) == (10, 25, 0.4)
    assert (info.codec, info.colorspace, info.color_range) == ("h264", "bt709", "limited")
    assert (info.audio_tracks, info.audio_codec, info.bit_depth) == (2, "aac", 8)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_metadata_turns_the_pixels_once(tmp_path: Path, degrees: int) -> None:
    path = make_clip(tmp_path / "turned.mp4", 1, rotation=degrees, audio=False)
    (frame,) = VideoReader(path)
    expected = np.rot90(moving_picture(0), degrees // 90)
    assert frame.rgb.shape == expected.shape
    assert np.abs(frame.rgb.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("colorspace", [1, 6, 9, 2])
@pytest.mark.parametrize("color_range", [1, 2])
def test_matrix_and_range_tags_are_honoured(
    tmp_path: Path, colorspace: int, color_range: int
) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (255, 255, 255)]
    pictures = [np.full((48, 64, 3), colour, np.uint8) for colour in colours]
    path = make_clip(
        tmp_path / "bars.mp4",
        len(pictures),
        pictures=pictures,
        audio=False,
        colorspace=colorspace,
        color_range=color_range,
    )
    for frame, colour in zip(VideoReader(path), colours, strict=True):
        assert np.abs(frame.rgb.reshape(-1, 3).mean(axis=0) - colour).max() < 6


def test_ten_bits_become_eight(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "ten.mkv", 3, codec="libx265", pixel_format="yuv420p10le", audio=False
    )
    assert probe(path).bit_depth == 10
    for number, frame in enumerate(VideoReader(path)):
        assert np.abs(frame.rgb.astype(int) - moving_picture(number)).mean() < 5


def test_start_end_frames_and_skip_select_by_time(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 50)
    everything = seconds(path)
    assert seconds(path, start=0.4, end=0.8) == everything[10:20]
    assert seconds(path, start=1.0, frames=3) == everything[25:28]
    assert seconds(path, start=1.0, frames=3, skip=2) == everything[27:28]
    assert VideoReader(path, start=0.4, end=0.8, skip=4).expected_frames == 6


def test_seeking_far_in_gives_the_same_frames_as_decoding_up_to_there(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "long.mp4", 200, audio=False)
    far = list(VideoReader(path, start=6.02, frames=5))
    plain = list(VideoReader(path))[151:156]
    assert [frame.pts for frame in far] == [frame.pts for frame in plain]
    assert all((a.rgb == b.rgb).all() for a, b in zip(far, plain, strict=True))


def test_times_are_counted_from_the_first_frame(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "late.mp4", pts=[50 + i for i in range(20)])
    assert seconds(path, start=0.4) == [Fraction(60 + i, 25) for i in range(10)]


def test_a_reader_can_be_iterated_twice(tmp_path: Path) -> None:
    reader = VideoReader(make_clip(tmp_path / "clip.mp4", 5))
    assert [f.pts for f in reader] == [f.pts for f in reader]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.avi", {"codec": "mpeg4", "audio_codec": "mp2"}),
        ("clip.mpg", {"codec": "mpeg2video", "audio_codec": "mp2"}),
        ("clip.webm", {"codec": "libvpx-vp9", "audio_codec": "libopus"}),
        ("clip.mov", {"codec": "mpeg4"}),
        ("clip.gif", {"codec": "gif", "pixel_format": "rgb8", "audio": False}),
    ],
)
def test_other_containers_are_read(tmp_path: Path, name: str, options: dict) -> None:
    times = seconds(make_clip(tmp_path / name, 10, **options))
    assert [time - times[0] for time in times] == [Fraction(i, 25) for i in range(10)]


def test_frames_without_increasing_times_are_repaired(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # AVI stores when to decode, not when to show: with B-frames the two differ.
    path = make_clip(tmp_path / "reordered.avi", 30, codec="libx264", audio=False)
    assert seconds(path) == [Fraction(i, 25) for i in range(30)]
    assert "rebuilt from the frame rate" in caplog.text


def test_a_folder_of_pictures_is_a_video_in_natural_order(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "frames", 11)
    (folder / ".DS_Store.png").write_bytes(b"no picture")
    frames = list(VideoReader(folder, rate=30))
    assert [f.pts * f.time_base for f in frames] == [Fraction(i, 30) for i in range(11)]
    assert all((f.rgb == moving_picture(i)).all() for i, f in enumerate(frames))


@pytest.mark.parametrize("pattern", ["frame_*.png", "frame_%d.png"])
def test_a_pattern_of_pictures_is_a_video(tmp_path: Path, pattern: str) -> None:
    make_pictures(tmp_path, 11)
    frames = list(VideoReader(tmp_path / pattern, start=0.2, end=0.4))
    assert [f.pts for f in frames] == [5, 6, 7, 8, 9]
    assert (frames[0].rgb == moving_picture(5)).all()


def test_a_file_cut_short_ends_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = make_clip(tmp_path / "whole.mp4", 100, options={"movflags": "faststart"}, audio=False)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    count = len(list(VideoReader(cut)))
    assert 0 < count < 100
    assert f"after {count} frames" in caplog.text
    assert "promises 4.00 s" in caplog.text


def test_a_selection_that_stops_early_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    list(VideoReader(make_clip(tmp_path / "clip.mp4", 100), frames=5))
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.txt").write_text("not a film\n" * 50)
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "nothing").mkdir()
    lost = make_clip(tmp_path / "lost.mp4", 50)
    lost.write_bytes(lost.read_bytes()[:2000])
    make_sound(tmp_path / "sound.m4a")
    for name, words in {
        "missing.mp4": "does not exist",
        "empty.mp4": "is empty",
        "text.txt": "not a video",
        "noise.mp4": "not a video",
        "nothing": "no pictures",
        "none_%03d.png": "matches no pictures",
        "lost.mp4": "lost its index",
        "sound.m4a": "no video stream",
    }.items():
        with pytest.raises(TalkheadError, match=words):
            VideoReader(tmp_path / name)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "cover.m4a"
    with av.open(str(path), "w", format="mp4") as output:
        sound = output.add_stream("aac", rate=48000)
        sound.layout = "mono"
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(moving_picture(0), "rgb24")
        output.mux(cover.encode(frame.reformat(format="yuvj420p")))
        output.mux(cover.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 48000
        output.mux(sound.encode(silence))
        output.mux(sound.encode(None))
    with pytest.raises(TalkheadError, match="no video stream"):
        VideoReader(path)


def test_an_empty_selection_says_where_the_video_ends(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 25)
    with pytest.raises(TalkheadError, match=r"start is 9 s.*last frame is at 0\.96 s"):
        list(VideoReader(path, start=9))
    with pytest.raises(TalkheadError, match="after start"):
        VideoReader(path, start=2, end=1)


def test_damage_in_the_first_frame_is_said(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "clip.mp4", frames=2, audio=False, options={"movflags": "faststart"}
    )
    content = bytearray(clip.read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = b"\xff" * (len(content) - start)
    clip.write_bytes(content)
    with pytest.raises(TalkheadError, match=r"clip\.mp4"):
        VideoReader(clip)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is hardware")
def test_hardware_that_cannot_decode_is_one_sentence(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=3, size=(256, 256))
    with pytest.raises(TalkheadError, match=r"NVIDIA GPU.*--hardware"):
        VideoReader(clip, hardware=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_hardware_decodes_every_frame(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=3, size=(256, 256))
    with VideoReader(clip, hardware=True) as reader:
        assert len(list(reader)) == 3

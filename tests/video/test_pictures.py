"""Pictures that drive: animated ones, folders with odd names or a broken file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import make_clip, make_pictures, moving_picture
from PIL import Image

from talkhead.errors import TalkheadError
from talkhead.video import VideoReader, VideoWriter, probe
from talkhead.video.sound import Sound


def make_animation(path: Path, delays: list[int]) -> Path:
    """`moving_picture`s, each shown for so many milliseconds."""
    first, *more = [Image.fromarray(moving_picture(number)) for number in range(len(delays))]
    options = {"duration": delays if more else delays[0], "quality": 95, "lossless": True}
    first.save(path, save_all=bool(more), append_images=more, **options)
    return path


@pytest.mark.parametrize("suffix", [".webp", ".png", ".avif"])
def test_an_animated_picture_drives(tmp_path: Path, suffix: str) -> None:
    path = make_animation(tmp_path / f"a{suffix}", [40] * 12)
    reader = VideoReader(path)
    assert (reader.info.width, reader.info.height, reader.info.frames) == (64, 48, 12)
    assert reader.info.rate == 25
    for _ in range(2):  # a driver is read more than once
        frames = list(reader)
        assert [f.pts * f.time_base for f in frames] == [Fraction(n, 25) for n in range(12)]
        for number, frame in enumerate(frames):
            assert np.abs(frame.rgb.astype(int) - moving_picture(number)).mean() < 4
    assert [f.pts for f in VideoReader(path, start=0.2, frames=2)] == [200, 240]


@pytest.mark.parametrize("suffix", [".webp", ".png", ".avif"])
def test_its_times_are_its_own(tmp_path: Path, suffix: str) -> None:
    path = make_animation(tmp_path / f"a{suffix}", [40, 200, 0, 70])
    frames = list(VideoReader(path))
    assert [frame.pts for frame in frames] == [
        0,
        40,
        240,
        340,
    ]  # 0 is shown for 100, as browsers do


@pytest.mark.parametrize("suffix", [".webp", ".png", ".avif", ".gif", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("name", ["a{}", "a.mp4"])
def test_a_still_picture_as_driver_is_one_picture(tmp_path: Path, suffix: str, name: str) -> None:
    still = Image.fromarray(moving_picture(0))
    path = tmp_path / name.format(suffix)
    still.save(tmp_path / f"s{suffix}")
    (tmp_path / f"s{suffix}").rename(path)
    with pytest.raises(TalkheadError, match="is one picture"):
        VideoReader(path)


def test_a_heic_photo_as_driver_is_one_picture(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))
    with pytest.raises(TalkheadError, match="is one picture"):
        VideoReader(tmp_path / "a.heic")


def test_an_animated_picture_has_no_sound_and_no_tracks(tmp_path: Path) -> None:
    path = make_animation(tmp_path / "a.webp", [40] * 3)
    assert Sound.find(path) is None
    with pytest.raises(TalkheadError, match="no video tracks"):
        VideoReader(path, track=0)
    with VideoWriter(tmp_path / "o.mp4", time_base=Fraction(1, 1000), sound=path) as writer:
        for frame in VideoReader(path):
            writer.write(frame.rgb, frame.pts)
    assert probe(tmp_path / "o.mp4").audio_tracks == 0


def test_an_animated_gif_drives_as_before(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.gif", 10, codec="gif", pixel_format="rgb8", audio=False)
    assert len(list(VideoReader(path))) == 10


@pytest.mark.parametrize("names", [["1²3", "1²4"], ["⑤", "①"], ["a٣", "a٢"], ["½", "10", "9"]])
def test_digits_of_all_kinds_in_names_are_sorted(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        Image.fromarray(moving_picture(0)).save(tmp_path / f"{name}.png")
    assert len(list(VideoReader(tmp_path))) == len(names)


@pytest.mark.parametrize("damage", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_broken_picture_of_a_folder_is_held_over(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures(tmp_path / "frames", 5)
    for name in ("frame_3.png", "frame_4.png"):
        (folder / name).write_bytes(damage)
    for skip in (0, 3):  # also when a render is gone on with
        frames = list(VideoReader(folder, skip=skip))
        expected = [0, 1, 1, 1, 4][skip:]
        assert all(
            (f.rgb == moving_picture(n)).all() for f, n in zip(frames, expected, strict=True)
        )
    assert "frame_3.png" in caplog.text
    (folder / "frame_1.png").write_bytes(damage)
    with pytest.raises(TalkheadError, match=r"frame_1\.png"):
        VideoReader(folder)

"""Writing, resuming and joining videos."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from media import frame_seconds, large_picture, make_clip, moving_picture
from PIL import Image

from talkhead.errors import TalkheadError
from talkhead.video import VideoReader, VideoWriter, probe
from talkhead.video.pictures import picture_files
from talkhead.video.workspace import CodedFrame, Segment

FINE = Fraction(1, 15360)
UNEVEN = [7, 519, 1030, 1031, 4000, 4512, 5100, 20000, 20512, 21024, 21536, 22048]
FAST = {"h264": "ultrafast", "hevc": "ultrafast", "vp9": "8", "av1": "12"}


def write(path: Path, pts: list[int], time_base: Fraction = FINE, **options: object) -> None:
    with VideoWriter(path, time_base=time_base, rate=Fraction(30), **options) as writer:
        done = writer.frames_done
        for number, time in list(enumerate(pts))[done:]:
            writer.write(moving_picture(number), time)


def interrupt(path: Path, pts: list[int], time_base: Fraction = FINE, **options: object) -> None:
    """Write some frames, then stop as Ctrl-C does."""
    try:
        with VideoWriter(path, time_base=time_base, **options) as writer:
            for number, time in enumerate(pts):
                writer.write(moving_picture(number), time)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return


def hidden(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize(
    ("ending", "codec"),
    [
        (".mp4", "h264"),
        (".mp4", "hevc"),
        (".mp4", "vp9"),
        (".mp4", "av1"),
        (".mov", "h264"),
        (".mov", "prores"),
    ],
)
@pytest.mark.parametrize("time_base", [FINE, Fraction(1, 90000), Fraction(1001, 30000)])
def test_variable_frame_rate_survives_exactly(
    tmp_path: Path, ending: str, codec: str, time_base: Fraction
) -> None:
    path = tmp_path / f"out{ending}"
    write(path, UNEVEN, time_base, codec=codec, preset=FAST.get(codec), segment_frames=5)
    assert frame_seconds(path) == [time * time_base for time in UNEVEN]
    assert hidden(tmp_path) == []


def test_b_frames_of_neighbouring_segments_keep_their_times(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    pts = [i * 512 + (i % 7) * 30 for i in range(60)]
    write(path, pts, segment_frames=20, preset="medium")
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    decoding = [p.dts for p in packets]
    assert decoding == sorted(set(decoding))
    assert all(p.dts <= p.pts for p in packets)
    assert [p.pts for p in packets] != sorted(p.pts for p in packets)  # there are B-frames
    assert frame_seconds(path) == [time * FINE for time in pts]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("o.mkv", "h264"),
        ("o.mkv", "ffv1"),
        ("o.mkv", "prores"),
        ("o.webm", "vp9"),
        ("o.webm", "av1"),
    ],
)
def test_matroska_rounds_times_to_a_millisecond(tmp_path: Path, name: str, codec: str) -> None:
    write(tmp_path / name, UNEVEN, codec=codec, preset=FAST.get(codec), segment_frames=5)
    times = frame_seconds(tmp_path / name)
    assert len(times) == len(UNEVEN)
    assert max(abs(a - b * FINE) for a, b in zip(times, UNEVEN, strict=True)) <= Fraction(1, 2000)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("o.mp4", "h264"),
        ("o.mp4", "hevc"),
        ("o.mp4", "vp9"),
        ("o.mp4", "av1"),
        ("o.webm", "vp9"),
        ("o.mov", "prores"),
        ("o.mkv", "ffv1"),
    ],
)
def test_pure_colours_come_back_and_are_tagged(tmp_path: Path, name: str, codec: str) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (0, 0, 0)]
    with VideoWriter(
        tmp_path / name, time_base=Fraction(1, 25), codec=codec, preset=FAST.get(codec)
    ) as writer:
        for time, colour in enumerate(colours):
            writer.write(np.full((48, 64, 3), colour, np.uint8), time)
    frames = list(VideoReader(tmp_path / name))
    for frame, colour in zip(frames, colours, strict=True):
        assert np.abs(frame.rgb.reshape(-1, 3).mean(axis=0) - colour).max() < 5
    info = probe(tmp_path / name)
    if codec != "ffv1":
        assert (info.colorspace, info.color_range) == ("bt709", "limited")


def test_odd_sizes_grow_by_one_and_say_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with VideoWriter(tmp_path / "odd.mp4", time_base=Fraction(1, 25)) as writer:
        for time in range(3):
            writer.write(moving_picture(time, 63, 47), time)
    (frame, *_) = VideoReader(tmp_path / "odd.mp4")
    assert frame.rgb.shape == (48, 64, 3)
    assert np.abs(frame.rgb[:47, :63].astype(int) - moving_picture(0, 63, 47)).mean() < 4
    assert caplog.text.count("is odd") == 1


def test_a_trimmed_video_begins_at_zero(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", UNEVEN, trim=True)
    assert frame_seconds(tmp_path / "out.mp4") == [(time - UNEVEN[0]) * FINE for time in UNEVEN]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.webm"])
def test_the_file_is_marked_as_synthetic(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, UNEVEN, metadata={"artist": "somebody"})
    with av.open(str(tmp_path / name)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    assert "Synthetic media" in tags["comment"]
    assert tags["title"] == "Synthetic video"
    assert tags["artist"] == "somebody"


def test_mp4_has_its_index_in_front_for_streaming(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", UNEVEN)
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_gif_keeps_pictures_and_times_to_a_hundredth(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pts = [0, 1000, 2000, 2100, 12000]
    write(tmp_path / "out.gif", pts)
    frames = list(VideoReader(tmp_path / "out.gif"))
    assert [f.pts * f.time_base for f in frames] == [
        Fraction(hundredths, 100) for hundredths in (0, 7, 13, 78)
    ]
    assert "1 frames left out" in caplog.text
    for frame, number in zip(frames, (0, 1, 2, 4), strict=True):
        assert np.abs(frame.rgb.astype(int) - moving_picture(number)).mean() < 6


@pytest.mark.parametrize(
    ("output", "first"), [("out", "out/000000.png"), ("f_%03d.png", "f_000.png")]
)
def test_pictures_are_written_without_loss(tmp_path: Path, output: str, first: str) -> None:
    write(tmp_path / output, list(range(3)))
    frames = list(VideoReader(tmp_path / output))
    assert all((f.rgb == moving_picture(i)).all() for i, f in enumerate(frames))
    assert len(frames) == 3
    assert "Synthetic media" in Image.open(tmp_path / first).text["Comment"]
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("output", ["out", "f_%03d.png"])
def test_old_pictures_stay_until_all_new_ones_are_in(
    tmp_path: Path, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / output
    write(path, list(range(4)))
    before = {file: file.read_bytes() for file in picture_files(path)}
    real = os.rename, Path.replace

    def full(old: Path, target: Path) -> Path | None:
        if old.name in ("pictures", "f_001.png"):
            raise OSError(errno.EIO, "Input/output error")
        return real[1](old, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        patch.setattr(Path, "replace", full)
        with pytest.raises(TalkheadError, match="could not be written"):
            write(path, list(range(2)), overwrite=True)
    assert {file: file.read_bytes() for file in picture_files(path)}.keys() == before.keys()
    write(path, list(range(2)), overwrite=True)
    assert len(picture_files(path)) == 2
    assert hidden(tmp_path) == []


def test_nothing_appears_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, time_base=FINE) as writer:
        for number, time in enumerate(UNEVEN):
            writer.write(moving_picture(number), time)
            assert not path.exists()
    assert path.exists()


def test_an_interrupted_render_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    interrupt(path, UNEVEN[:7])
    assert not path.exists()
    assert hidden(tmp_path) == [".out.mp4.talkhead"]
    with VideoWriter(path, time_base=FINE) as writer:
        assert writer.frames_done == 7
        for number, time in list(enumerate(UNEVEN))[7:]:
            writer.write(moving_picture(number), time)
    assert frame_seconds(path) == [time * FINE for time in UNEVEN]
    for number, frame in enumerate(VideoReader(path)):
        assert np.abs(frame.rgb.astype(int) - moving_picture(number)).mean() < 4


def test_a_failure_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "out.mp4", time_base=FINE):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from fractions import Fraction
from media import large_picture
from talkhead.video import VideoWriter
with VideoWriter(sys.argv[1], time_base=Fraction(1, 25), segment_frames=10) as writer:
    for time in range(27):
        writer.write(large_picture(time), time)
    os.kill(os.getpid(), 9)
"""


def test_a_killed_render_goes_on_from_the_last_complete_segment(tmp_path: Path) -> None:
    path, straight = tmp_path / "out.mp4", tmp_path / "straight.mp4"
    here = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{here.parent}{os.pathsep}{here}"}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()
    for target, done in ((path, 20), (straight, 0)):
        with VideoWriter(target, time_base=Fraction(1, 25), segment_frames=10) as writer:
            assert writer.frames_done == done
            for time in range(done, 40):
                writer.write(large_picture(time), time)
    assert frame_seconds(path) == frame_seconds(straight) == [Fraction(i, 25) for i in range(40)]
    for resumed, whole in zip(VideoReader(path), VideoReader(straight), strict=True):
        assert np.array_equal(resumed.rgb, whole.rgb)


@pytest.mark.parametrize("change", [{"state": {"weights": "b"}}, {"crf": 30}, {"codec": "hevc"}])
def test_other_settings_drop_the_unfinished_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict
) -> None:
    path = tmp_path / "out.mp4"
    settings = {"time_base": FINE, "state": {"weights": "a"}, "crf": 20}
    interrupt(path, [0], **settings)
    assert VideoWriter(path, **settings).frames_done == 1
    assert VideoWriter(path, **{**settings, **change}).frames_done == 0
    assert "other settings" in caplog.text


def test_a_full_disk_says_where_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.mp4"

    add = Segment.add

    def full(self: Segment, frames: Iterable[CodedFrame]) -> None:
        if "000000005.partial" in str(self._path):
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, frames)

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "add", full)
        with pytest.raises(TalkheadError, match=r"disk is full.*frame 5"):
            write(path, UNEVEN, segment_frames=5)
    assert not path.exists()
    write(path, UNEVEN, segment_frames=5)
    assert frame_seconds(path) == [time * FINE for time in UNEVEN]


def test_misuse_is_named_before_any_work(tmp_path: Path) -> None:
    for name, options, words in (
        ("out.xyz", {}, "unknown ending"),
        ("out.png", {}, "one picture"),
        ("out.webm", {"codec": "h264"}, "cannot hold codec"),
        ("missing/out.mp4", {}, "does not exist"),
        ("out.mp4", {"sound": make_clip(tmp_path / "s.mp4"), "track": 4}, "no sound track 4"),
    ):
        with pytest.raises(TalkheadError, match=words):
            VideoWriter(tmp_path / name, time_base=FINE, **options)
    with pytest.raises(TalkheadError, match="refuses"):
        write(tmp_path / "out.mp4", UNEVEN, preset="nonsense")
    with pytest.raises(TalkheadError, match="no frame was written"):
        write(tmp_path / "none.mp4", [])
    assert hidden(tmp_path) == []


def test_times_must_increase_and_sizes_stay(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", time_base=FINE)
    writer.write(moving_picture(0), 10)
    with pytest.raises(ValueError, match="does not come after"):
        writer.write(moving_picture(1), 10)
    with pytest.raises(ValueError, match="after frames of"):
        writer.write(moving_picture(1, 32, 32), 20)
    writer.abandon()


@pytest.mark.parametrize(
    ("name", "wish"),
    [
        ("out.mov", {"codec": "prores", "crf": 20}),
        ("out.mkv", {"codec": "ffv1", "preset": "slow"}),
        ("out.gif", {"crf": 20}),
        ("pictures", {"preset": "slow"}),
    ],
)
def test_a_choice_that_changes_nothing_is_refused(
    name: str, wish: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(TalkheadError, match=r"has no (crf|preset) to choose"):
        VideoWriter(tmp_path / name, time_base=Fraction(1, 25), **wish)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is hardware")
def test_hardware_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TalkheadError, match=r"NVIDIA GPU.*--hardware"):
        VideoWriter(tmp_path / "out.mp4", time_base=Fraction(1, 25), hardware=True)
    with pytest.raises(TalkheadError, match="no hardware encoder for 'ffv1'"):
        VideoWriter(tmp_path / "out.mkv", time_base=Fraction(1, 25), codec="ffv1", hardware=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_hardware_encodes_every_frame(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", time_base=Fraction(1, 25), hardware=True) as writer:
        for number in range(3):
            writer.write(moving_picture(number, 256, 256), number)
    assert len(frame_seconds(tmp_path / "out.mp4")) == 3


def test_two_renders_of_one_output_keep_apart(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, time_base=FINE) as first:
        first.write(moving_picture(0), 0)
        with pytest.raises(TalkheadError, match="being rendered already"):
            VideoWriter(path, time_base=FINE)
        first.write(moving_picture(1), 512)
    assert len(frame_seconds(path)) == 2
    VideoWriter(path, time_base=FINE, overwrite=True).abandon()  # free again


def test_a_gif_says_that_it_is_synthetic(tmp_path: Path) -> None:
    write(tmp_path / "out.gif", [0, 2000])
    content = (tmp_path / "out.gif").read_bytes()
    assert b"Synthetic media" in content
    with Image.open(tmp_path / "out.gif") as picture:
        assert b"Synthetic media" in picture.info["comment"]
        assert picture.n_frames == 2

"""Video that comes and goes as it is made: pipes, cameras, growing files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import frame_seconds, make_clip, moving_picture
from rendering import CENTRED

from talkhead.animation.live import LiveAnimator
from talkhead.animation.settings import RenderSettings
from talkhead.animation.threads import DroppingPrefetcher
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.structs import Frame
from talkhead.video import RawPipe, StreamWriter, VideoReader, open_camera, open_pipe


class Trickle(io.RawIOBase):
    """A stream that gives at most so many bytes at a time, and cannot be wound back."""

    def __init__(self, data: bytes, at_once: int) -> None:
        self._data = io.BytesIO(data)
        self._at_once = at_once

    def read(self, count: int = -1) -> bytes:
        return self._data.read(min(count, self._at_once))


class Sent:
    """A driver of known pictures."""

    time_base, rate, has_sound = Fraction(1, 25), Fraction(25), False

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self._pictures = pictures

    def __iter__(self) -> Iterator[Frame]:
        for number, picture in enumerate(self._pictures):
            yield Frame(picture, number, self.time_base)


@pytest.mark.parametrize("ending", [".mkv", ".ts"])
def test_piped_video_is_the_files_video(ending: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / f"clip{ending}", frames=9, audio=False)
    piped = list(open_pipe(Trickle(clip.read_bytes(), 1000)))
    with VideoReader(clip) as reader:
        read = list(reader)
    assert len(piped) == 9
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(piped, read, strict=True))
    steps = [(frame.pts - piped[0].pts) * frame.time_base for frame in piped]
    assert steps == [(frame.pts - read[0].pts) * frame.time_base for frame in read]


def test_mp4_with_its_index_at_the_end_is_read_where_it_can_be_wound_back(tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (9, 192, 256, 3), np.uint8))
    clip = make_clip(tmp_path / "clip.mp4", frames=9, size=(256, 192), pictures=noise)
    assert clip.stat().st_size > 100_000  # more than is kept for winding back within a pipe
    with clip.open("rb", buffering=0) as file:
        assert len(list(open_pipe(file))) == 9
    with pytest.raises(TalkheadError, match="index at the end must be given as a file"):
        list(open_pipe(Trickle(clip.read_bytes(), 1000)))
    beginning = make_clip(tmp_path / "b.mp4", frames=9, options={"movflags": "faststart"})
    assert len(list(open_pipe(Trickle(beginning.read_bytes(), 1000)))) == 9


def test_pipe_without_video_says_what_can_be_sent() -> None:
    with pytest.raises(TalkheadError, match="Matroska"):
        open_pipe(Trickle(b"no video at all" * 100, 64))


def test_raw_frames_are_cut_from_the_bytes() -> None:
    pictures = [moving_picture(number) for number in range(3)]
    data = b"".join(picture.tobytes() for picture in pictures)
    found = list(RawPipe(Trickle(data, 1000), (64, 48), Fraction(10)))
    assert all(np.array_equal(f.rgb, p) for f, p in zip(found, pictures, strict=True))
    assert [frame.pts * frame.time_base for frame in found] == [0, Fraction(1, 10), Fraction(1, 5)]
    with pytest.raises(TalkheadError, match="after 2 pictures of 64x48"):
        list(RawPipe(Trickle(data[:-1], 1000), (64, 48), Fraction(10)))


def test_camera_is_read_through_ffmpegs_devices() -> None:
    """`lavfi` draws test pictures behind the same door as a camera."""
    camera = iter(open_camera("testsrc=size=64x48:rate=10", driver="lavfi"))
    frames = [next(camera) for _ in range(3)]
    assert frames[0].rgb.shape == (48, 64, 3)
    assert [frame.pts * frame.time_base for frame in frames] == [
        0, Fraction(1, 10), Fraction(1, 5)
    ]  # fmt: skip


def test_missing_camera_or_driver_is_one_sentence() -> None:
    with pytest.raises(TalkheadError, match="cannot open the camera /dev/nothing"):
        open_camera("/dev/nothing", driver="v4l2")
    with pytest.raises(TalkheadError, match="built without no-such-driver"):
        open_camera("x", driver="no-such-driver")


def test_live_result_equals_the_files(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    """Frame by frame the same pictures as `reenact`, up to the encoder's loss."""
    clip = make_clip(tmp_path / "drive.mp4", frames=6, audio=False)
    report = LiveAnimator([portrait], VideoReader(clip), engine, CENTRED).run(tmp_path / "a.mkv")
    assert (report.frames, report.left_out, report.faceless) == (6, 0, 0)
    assert 0 < report.latency_ms <= report.latency_p95_ms
    from talkhead.animation.animator import Animator

    first = RenderSettings(anchor="first", crop_source="none", crop_driving="none")
    Animator(engine)(portrait, clip, tmp_path / "b.mkv", first)
    with VideoReader(tmp_path / "a.mkv") as live, VideoReader(tmp_path / "b.mkv") as whole:
        for ours, theirs in zip(live, whole, strict=True):
            assert np.abs(ours.rgb.astype(int) - theirs.rgb).mean() < 4
    assert frame_seconds(tmp_path / "a.mkv") == frame_seconds(tmp_path / "b.mkv")


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_every_frame_is_out_before_the_next_goes_in(ending: str, tmp_path: Path) -> None:
    """The first picture can be decoded from the growing file as soon as it is written."""
    path = tmp_path / f"grow.{ending}"
    with StreamWriter(path, time_base=Fraction(1, 25), rate=Fraction(25)) as writer:
        writer.write(moving_picture(0), 0)
        writer.write(moving_picture(1), 1)
        early = tmp_path / f"early.{ending}"
        early.write_bytes(path.read_bytes())
        assert len(frame_seconds(early)) >= 1
        for number in range(2, 5):
            writer.write(moving_picture(number), number)
    assert [time - frame_seconds(path)[0] for time in frame_seconds(path)] == [
        Fraction(number, 25) for number in range(5)
    ]


def test_output_that_nobody_reads_is_one_sentence() -> None:
    class Gone(io.RawIOBase):
        def write(self, data: object) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    def write() -> None:
        with StreamWriter(Gone(), time_base=Fraction(1, 25)) as writer:
            writer.write(moving_picture(0), 0)

    with pytest.raises(TalkheadError, match="stopped reading"):
        write()


def test_frames_before_the_first_face_are_passed_over(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    settings = RenderSettings(crop_source="none", crop_driving="auto")
    empty = Sent([moving_picture(number) for number in range(3)])
    with pytest.raises(TalkheadError, match="3 frames without a face"):
        LiveAnimator([portrait], empty, engine, settings).run(tmp_path / "out.mkv")


@pytest.mark.parametrize("sound", [True, False])
def test_sound_that_is_wanted_and_lost_is_told(
    engine: Engine, portrait: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, sound: bool
) -> None:
    clip = make_clip(tmp_path / "drive.mkv", frames=2)
    wish = replace(CENTRED, sound=sound)
    with clip.open("rb") as pipe:
        LiveAnimator([portrait], open_pipe(pipe), engine, wish)
    LiveAnimator([portrait], VideoReader(clip), engine, wish)
    assert caplog.text.count("sound is left out") == (2 if sound else 0)


def test_what_needs_the_whole_video_is_refused(engine: Engine, portrait: Path) -> None:
    numbered = RenderSettings(anchor="3", crop_source="none", crop_driving="none")
    with pytest.raises(TalkheadError, match="first frame"):
        LiveAnimator([portrait], Sent([]), engine, numbered)


def test_newest_frames_are_kept_when_nobody_takes_them() -> None:
    sent, taken = threading.Event(), threading.Event()

    def frames() -> Iterator[int]:
        yield from range(10)
        sent.set()
        taken.wait(5)
        yield 10

    with DroppingPrefetcher(frames(), depth=2) as items:
        assert sent.wait(5)
        iterator = iter(items)
        found = [next(iterator), next(iterator)]
        taken.set()
        found += iterator
    assert found == [8, 9, 10]
    assert items.left_out == 8


def test_reader_that_waits_for_ever_is_left_behind() -> None:
    never = threading.Event()

    def frames() -> Iterator[int]:
        yield 1
        never.wait(30)

    started = time.perf_counter()
    with DroppingPrefetcher(frames(), depth=1, patience=0.1) as items:
        assert next(iter(items)) == 1
    assert time.perf_counter() - started < 5
    never.set()


def test_command_goes_from_pipe_to_pipe(toy_weights: Path, portrait: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "drive.mkv", frames=4, audio=False)
    command = [sys.executable, "-m", "talkhead", "animate", portrait, "-", "-o", "-"]
    options = ["--crop-source", "none", "--crop-driving", "none", "--weights", toy_weights]
    done = subprocess.run(
        [*command, *options, "--device", "cpu"],
        stdin=clip.open("rb"),
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.mkv").write_bytes(done.stdout)
    assert frame_seconds(tmp_path / "out.mkv") == [Fraction(number, 25) for number in range(4)]
    assert b"4 frames" in done.stderr
    assert b"latency" in done.stderr

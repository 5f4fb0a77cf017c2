"""Training clips: short square videos that are read at random places.

H.264 without B-frames, a key frame every `GROUP` frames, without the two coding steps that decode
slowly (CABAC and the loop filter). Two random frames of a clip of 256 x 256 then take 7 ms of one
core; 136 ms as encoders do it by default, 10 ms with these two steps. All frames as key frames
would take 4 ms and twice the room.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError
from talkhead.io.atomic import atomic_path
from talkhead.video.formats import CODECS, Encoding
from talkhead.video.opening import limit_pixels, open_untrusted
from talkhead.video.pixels import FrameToRgb, RgbToFrame

GROUP = 8  # frames from one key frame to the next
OPTIONS = (
    ("crf", "18"),
    ("preset", "veryfast"),
    ("tune", "fastdecode"),
    ("g", str(GROUP)),
    ("bf", "0"),
    ("sc_threshold", "0"),
)
CONTAINER = "mov"  # FFmpeg's name of mp4, too


@contextmanager
def clip_writer(path: Path, size: int, rate: Fraction) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that adds a picture, uint8 (size, size, 3), to a clip of steady rate.

    The clip appears at `path` when the block ends well. Raises OSError for what the disk says.
    """
    encoding = Encoding(CODECS["h264"], 1 / rate, rate, OPTIONS)
    printer = RgbToFrame(encoding.codec.pixel_format)
    with (
        atomic_path(path) as partial,
        _as_os_error(path),
        av.open(f"file:{partial}", "w", format="mp4") as output,
    ):
        stream = output.add_stream(encoding.codec.encoder, rate=rate)
        assert isinstance(stream, VideoStream)
        encoding.configure(stream.codec_context, size, size)
        stream.codec_context.thread_count = 1
        times = itertools.count()

        def write(rgb: np.ndarray) -> None:
            frame = printer.frame(rgb, next(times), encoding.time_base)
            with _as_os_error(path):
                output.mux(stream.encode(frame))

        yield write
        output.mux(stream.encode(None))


@contextmanager
def _as_os_error(path: Path) -> Iterator[None]:
    """What the disk says to FFmpeg, as Python has it."""
    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@dataclass(frozen=True)
class Place:
    """Bytes of a file: all of it, or `length` bytes from `offset` on."""

    path: Path
    offset: int = 0
    length: int | None = None


class _Window:
    """The bytes of a place as a file for FFmpeg, which is told of nothing beyond."""

    def __init__(self, place: Place) -> None:
        self._file = place.path.open("rb")
        self._offset = place.offset
        self._length = (
            os.fstat(self._file.fileno()).st_size if place.length is None else place.length
        )
        self._at = 0

    def read(self, count: int) -> bytes:
        count = max(0, min(count, self._length - self._at))
        found = os.pread(self._file.fileno(), count, self._offset + self._at)
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if base + offset < 0:
            return -1
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()


def read_frames(place: Place, numbers: Sequence[int]) -> list[np.ndarray]:
    """Frames of a clip of steady rate by their numbers from 0, uint8 (H, W, 3), in that order.

    Raises TalkheadError for a file that is missing, damaged, or too short.
    """
    try:
        window = _Window(place)
    except OSError as error:
        raise TalkheadError(f"cannot read {place.path} ({error.strerror})") from error
    try:
        with open_untrusted(window, CONTAINER, format=CONTAINER) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            limit_pixels(stream, place.path)
            step = 1 / (Fraction(stream.average_rate or 0) * Fraction(stream.time_base or 0))
            found = {n: _frame_at(container, stream, round(n * step)) for n in sorted(set(numbers))}
            return [found[number] for number in numbers]
    except (av.FFmpegError, OSError, IndexError, ZeroDivisionError) as error:
        raise TalkheadError(f"{place.path} is damaged, or no clip ({error})") from error
    finally:
        window.close()


def _frame_at(container: InputContainer, stream: VideoStream, time: int) -> np.ndarray:
    """The frame that is shown at a time, in the stream's units."""
    container.seek(time, stream=stream)
    for frame in container.decode(stream):
        if frame.pts is not None and frame.pts >= time:
            return FrameToRgb().rgb(frame)
    raise IndexError("it ends before that frame")

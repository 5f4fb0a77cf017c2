"""Training clips: short square videos that are read at random places.

H.264 without B-frames, a key frame every `GROUP` frames, without the two coding steps that decode
slowly (CABAC and the loop filter). Two random frames of a clip of 256 x 256 then take 7 ms of one
core; 136 ms as encoders do it by default, 10 ms with these two steps. All frames as key frames
would take 4 ms and twice the room.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError
from talkhead.io.atomic import atomic_path
from talkhead.io.window import Place, Window
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
        stream = encoding.add_stream(output, size, size)
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


def read_frames(place: Place, numbers: Sequence[int]) -> list[np.ndarray]:
    """Frames of a clip of steady rate by their numbers from 0, uint8 (H, W, 3), in that order.

    Raises TalkheadError for a file that is missing, damaged, or too short.
    """
    try:
        with (
            closing(Window(place)) as window,
            open_untrusted(window, CONTAINER, format=CONTAINER) as container,
        ):
            stream = container.streams.video[0]
            stream.thread_count = 1
            limit_pixels(stream, place.path)
            found = dict(_frames_at(container, stream, sorted(set(numbers))))
            return [found[number] for number in numbers]
    except (av.FFmpegError, IndexError, ZeroDivisionError) as error:
        raise TalkheadError(f"{place} is damaged, or no clip ({error})") from error
    except OSError as error:
        raise TalkheadError(f"{place} cannot be read ({error.strerror})") from error


def _frames_at(
    container: InputContainer, stream: VideoStream, numbers: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Frames by ascending numbers.

    Each is decoded from the key frame before, or on from the last one where that is near.
    """
    step = 1 / (Fraction(stream.average_rate or 0) * Fraction(stream.time_base or 0))
    developer, last = FrameToRgb(), -GROUP - 1
    decoded: Iterator[VideoFrame] = iter(())
    for number in numbers:
        time = round(number * step)
        if number > last + GROUP:
            container.seek(time, stream=stream)
            decoded = container.decode(stream)
        frame = next((f for f in decoded if f.pts is not None and f.pts >= time), None)
        if frame is None:
            raise IndexError(f"it ends before frame {number}")
        yield number, developer.rgb(frame)
        last = number

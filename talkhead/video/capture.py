"""Capture frames from a pipe (encoded or raw) or a camera."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import BinaryIO, Protocol

import av
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer

from talkhead.choices import USUAL_RATE
from talkhead.errors import TalkheadError
from talkhead.structs import Frame
from talkhead.video.clock import Clock
from talkhead.video.media import video_track, video_tracks
from talkhead.video.opening import VIDEO_FORMATS, limit_pixels, open_untrusted
from talkhead.video.pixels import FrameToRgb, pixel_aspect

log = logging.getLogger(__name__)

# What each system calls its cameras' driver, and its first camera.
CAMERAS = {
    "linux": ("v4l2", "/dev/video0"),
    "darwin": ("avfoundation", "0"),
    "win32": ("dshow", "video=0"),
}
# Begin at once: of a pipe a second at most is looked at to learn what is in it.
AT_ONCE = {"analyzeduration": "1000000"}
PIPE = "standard input"  # as sentences call it
NOT_AS_IT_COMES = (
    "holds no video that can be read as it comes; send Matroska, MPEG-TS or fragmented MP4, or raw "
    "frames with --raw WIDTHxHEIGHT (an MP4 with its index at the end must be given as a file)"
)


class LiveReader(Protocol):
    """Frames in order, once, each as soon as it is there; `rate` is None where nobody says."""

    time_base: Fraction
    rate: Fraction | None
    has_sound: bool

    def __iter__(self) -> Iterator[Frame]: ...


def open_pipe(stream: BinaryIO, track: int | None = None) -> LiveReader:
    """Encoded video from standard input, in any of VIDEO_FORMATS that can be read so.

    A file as standard input is wound back where its format needs that, a pipe cannot be.
    track: which of its video tracks, from 0; None: the default one.

    Raises TalkheadError when it holds no video that can be read.
    """
    # Of a pipe only its reading: FFmpeg then does not try to wind it back.
    source = stream if stream.seekable() else SimpleNamespace(read=stream.read)
    try:
        container = open_untrusted(source, VIDEO_FORMATS, options=AT_ONCE)
    except (av.FFmpegError, OSError) as error:
        raise TalkheadError(f"{PIPE} {NOT_AS_IT_COMES}") from error
    return LiveDecoder(container, PIPE, track)


def open_camera(name: str | None = None, driver: str | None = None) -> LiveReader:
    """A camera by its driver's name for it (None: the first).

    driver: FFmpeg's input format; None: the system's own.

    Raises TalkheadError when it cannot be opened.
    """
    system, first = CAMERAS.get(sys.platform, CAMERAS["linux"])
    name, driver = name or first, driver or system
    try:
        container = av.open(name, "r", format=driver)
    except (av.FFmpegError, OSError) as error:  # before ValueError, which some of these are too
        raise TalkheadError(
            f"cannot open the camera {name} ({error.strerror}); name another as camera:NAME"
        ) from error
    except ValueError as error:
        raise TalkheadError(
            f"this PyAV was built without {driver}, which reads cameras here; let another program "
            "send the camera's video through a pipe and give - in its place"
        ) from error
    return LiveDecoder(container, f"the camera {name}")


class LiveDecoder:
    """The picture stream of an open container, decoded without holding frames back.

    Times begin at 0. A stream that breaks off ends there, with a warning.
    """

    def __init__(self, container: InputContainer, name: str, track: int | None = None) -> None:
        self._container = container
        self._name = name
        self._stream = video_tracks(container)[video_track(container, name, track)]
        limit_pixels(self._stream, name)
        # Threads that decode several frames at once would hold each back until the next come.
        self._stream.thread_type = "SLICE"
        self._stream.codec_context.flags |= Flags.low_delay
        self.time_base = Fraction(self._stream.time_base or Fraction(1, av.time_base))
        rate = self._stream.average_rate
        self.rate = Fraction(rate) if rate else None
        self.has_sound = bool(container.streams.audio)

    def __iter__(self) -> Iterator[Frame]:
        developer = FrameToRgb(pixel_aspect(self._stream, self._name))
        step = max(1, round(1 / ((self.rate or USUAL_RATE) * self.time_base)))
        first: int | None = None
        last = -step
        try:
            for packet in Clock(self._container).packets(self._stream):
                for frame in packet.decode():
                    first = frame.pts if first is None else first
                    # Times as they are told; where they are missing or run back, a step further.
                    pts = last + step if frame.pts is None or first is None else frame.pts - first
                    last = pts if pts > last else last + step
                    yield Frame(developer.rgb(frame), last, self.time_base)
        except av.FFmpegError as error:
            if first is None:
                raise TalkheadError(f"{self._name} {NOT_AS_IT_COMES}") from error
            log.warning("%s breaks off (%s)", self._name, error.strerror)


class RawPipe:
    """Bytes of rgb24 pictures of one size, one after the other, at a frame rate that is told.

    size: (width, height) in pixels.
    """

    def __init__(self, stream: BinaryIO, size: tuple[int, int], rate: Fraction) -> None:
        self._stream = stream
        self._shape = (size[1], size[0], 3)
        self.time_base = 1 / rate
        self.rate: Fraction | None = rate
        self.has_sound = False

    def __iter__(self) -> Iterator[Frame]:
        """Raises TalkheadError when the last picture is not whole: the size is then wrong."""
        height, width, channels = self._shape
        whole, number = height * width * channels, 0
        while data := self._read(whole):
            if len(data) < whole:
                raise TalkheadError(
                    f"the raw video ends within a picture: {len(data)} of {whole} bytes are left "
                    f"after {number} pictures of {width}x{height}; check --raw, and that its "
                    "pixels are rgb24"
                )
            rgb = np.frombuffer(data, np.uint8).reshape(self._shape)
            yield Frame(rgb, number, self.time_base)
            number += 1

    def _read(self, count: int) -> bytes:
        """So many bytes, fewer only at the end."""
        parts = []
        while count and (part := self._stream.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

"""Write a video that is watched while it is made."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from talkhead.choices import USUAL_RATE
from talkhead.errors import TalkheadError
from talkhead.io.atomic import follow_link, take_name
from talkhead.video.formats import CODECS, Encoding
from talkhead.video.marking import SYNTHETIC
from talkhead.video.pixels import RgbToFrame

# Containers that can be read while they grow: FFmpeg's name, and options that make it so.
STREAMED = {
    ".mkv": ("matroska", {"live": "1", "cluster_time_limit": "1"}),
    ".mp4": ("mp4", {"movflags": "frag_every_frame+empty_moov+default_base_moof"}),
}
SPEED = "veryfast"  # of x264 and x265, where nobody says otherwise


class StreamWriter:
    """Encodes frames without delay and writes each before it takes the next.

    Use as a context manager: leaving it completes the file, also when an exception passes through,
    since what was shown cannot be taken back. Where nothing was shown a new file goes.

    target: a path (.mkv or .mp4), or a binary stream, which gets Matroska.
    codec:  h264 (None) or hevc; crf, preset, overwrite: as for `VideoWriter`.

    Raises TalkheadError for another ending or codec, and when nobody takes the output any more.
    """

    def __init__(
        self,
        target: Path | BinaryIO,
        *,
        time_base: Fraction,
        rate: Fraction | None = None,
        codec: str | None = None,
        crf: int | None = None,
        preset: str | None = None,
        overwrite: bool = False,
    ) -> None:
        target = follow_link(target) if isinstance(target, Path) else target
        self._new = target if isinstance(target, Path) and not target.exists() else None
        self._name = str(target) if isinstance(target, Path) else "standard output"
        kind, options = streamed(target) if isinstance(target, Path) else STREAMED[".mkv"]
        self._encoding = live_encoding(time_base, rate or Fraction(USUAL_RATE), codec, crf, preset)
        options = {**options, "flush_packets": "1"}
        try:
            if isinstance(target, Path):
                take_name(target, overwrite)
            place = f"file:{target}" if isinstance(target, Path) else _Flushing(target)
            self._output: OutputContainer = av.open(place, "w", format=kind, options=options)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error
        self._output.metadata.update(SYNTHETIC)
        self._printer = RgbToFrame(self._encoding.codec.pixel_format)
        self._stream: VideoStream | None = None
        self._size: tuple[int, ...] = ()

    def write(self, rgb: np.ndarray, pts: int) -> None:
        """One picture, uint8 (H, W, 3), shown at `pts`; all pictures have the first one's size."""
        self._size = self._size or rgb.shape
        if rgb.shape != self._size:
            raise ValueError(f"frame of shape {rgb.shape} after frames of {self._size}")
        try:
            stream = self._stream or self._begin(rgb)
            frame = self._printer.frame(rgb, pts, self._encoding.time_base)
            self._output.mux(stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _begin(self, rgb: np.ndarray) -> VideoStream:
        size = self._printer.size(rgb.shape[1], rgb.shape[0])
        self._stream = self._encoding.add_stream(self._output, *size)
        return self._stream

    def _unwritable(self, error: Exception) -> TalkheadError:
        if isinstance(error, BrokenPipeError):
            return TalkheadError(f"whoever read {self._name} has stopped reading")
        return TalkheadError(
            f"{self._name} cannot be written ({getattr(error, 'strerror', None) or error})"
        )

    def __enter__(self) -> StreamWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._stream is not None:
                self._output.mux(self._stream.encode(None))
            self._output.close()
            if self._stream is None and self._new is not None:
                self._new.unlink(missing_ok=True)
        except (av.FFmpegError, OSError) as trouble:
            if kind is None:
                raise self._unwritable(trouble) from trouble


def streamed(path: Path) -> tuple[str, dict[str, str]]:
    """The growing kind of output that a path asks for, see `STREAMED`."""
    suffix = path.suffix.lower()
    if suffix not in STREAMED:
        raise TalkheadError(
            f"{path} cannot be written frame by frame; use {' or '.join(STREAMED)}, or - for "
            "standard output"
        )
    return STREAMED[suffix]


def live_encoding(
    time_base: Fraction, rate: Fraction, codec: str | None, crf: int | None, preset: str | None
) -> Encoding:
    """Settings that give every frame back at once: nothing is looked ahead for."""
    name = codec or "h264"
    if name not in ("h264", "hevc"):
        raise TalkheadError(f"live video is encoded as h264 or hevc, not {name}")
    chosen = CODECS[name]
    options = {
        **dict(chosen.options),
        "crf": chosen.quality(crf),
        "preset": preset or SPEED,
        "tune": "zerolatency",
    }
    return Encoding(chosen, time_base, rate, tuple(options.items()))


class _Flushing:
    """A binary stream that passes on what is written at once, and cannot be wound back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        self._stream.write(data)
        self._stream.flush()
        return len(data)

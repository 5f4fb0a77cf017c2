"""Reading: any video, or a folder or pattern of pictures, as a stream of upright RGB frames."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError
from talkhead.structs import Frame
from talkhead.video.media import (
    VideoInfo,
    clock_start,
    describe,
    open_media,
    picture_stream,
    stream_seconds,
)
from talkhead.video.pictures import PictureSource, frame_rate, is_picture_sequence
from talkhead.video.pixels import Developer

log = logging.getLogger(__name__)

DEFAULT_RATE = Fraction(25)
SEEKABLE = ("mov,mp4", "matroska")  # containers whose index leads to exact presentation times
SEEK_FROM = 5.0  # seconds; decoding less than this is quicker than seeking
SEEK_MARGIN = 1.0  # seconds; an index may count decoding times, which run ahead of presentation
LATEST = 1e7  # seconds, four months
MISSING_SECONDS = 0.5  # a file that ends this much before its header says is reported


class MediaSource:
    """The picture stream of one media file: decoded frames with repaired times, then pixels.

    first_pts is the time of the first frame that decodes; `info` describes the stream.
    """

    def __init__(self, path: Path, hardware: bool = False) -> None:
        self.path = path
        self._hardware = hardware
        with open_media(path, hardware) as container:
            stream = picture_stream(container, path)
            try:
                first = next(_decode(container, stream), None)
            except av.FFmpegError as error:
                raise TalkheadError(
                    f"{path} is damaged from its first frame on ({error.strerror})"
                ) from error
            if first is None:
                raise TalkheadError(
                    f"{path} has no frame that can be decoded; it is damaged or cut off"
                )
            self._clock = round(clock_start(container) / (stream.time_base or 1))
            self._developer = Developer(Fraction(stream.sample_aspect_ratio or 1))
            self.info = describe(container, stream, first, self._developer.size(first))
            # AVI stores no presentation times, and those guessed for B-frames are wrong: there the
            # times of decoding count, less the decoder's delay.
            by_decoding = container.format.name == "avi" and first.dts is not None
            self._delay = (first.dts or 0) - (stream.start_time or 0) if by_decoding else None
        self.first_pts = self._stamp(first) or 0
        self._nominal = max(1, round(1 / (self.info.rate or DEFAULT_RATE) / self.info.time_base))
        if self.info.transfer != "sdr":
            log.warning(
                "%s is HDR (%s); its colours are read as SDR and will look dull: convert it first",
                path,
                self.info.transfer,
            )

    def pictures(self, from_pts: int) -> Iterator[tuple[int, VideoFrame]]:
        """Strictly increasing pts and frames; starts at a key frame at or before `from_pts`."""
        ahead = (from_pts - self.first_pts) * self.info.time_base
        if ahead >= SEEK_FROM:
            with open_media(self.path, self._hardware) as container:
                stream = picture_stream(container, self.path)
                decoded = self._seek(container, stream, from_pts)
                if decoded is not None:
                    yield from self._stamped(container, stream, decoded)
                    return
        with open_media(self.path, self._hardware) as container:
            stream = picture_stream(container, self.path)
            yield from self._stamped(container, stream, _decode(container, stream))

    def _seek(
        self, container: InputContainer, stream: VideoStream, from_pts: int
    ) -> Iterator[VideoFrame] | None:
        """Frames from a key frame at or before `from_pts`; None when the index leads elsewhere."""
        if not container.format.name.startswith(SEEKABLE):
            return None
        try:
            container.seek(from_pts - round(SEEK_MARGIN / self.info.time_base), stream=stream)
        except av.FFmpegError:
            return None
        decoded = _decode(container, stream)
        first = next(decoded, None)
        if first is None or first.pts is None or first.pts > from_pts:
            return None
        return chain([first], decoded)

    def _stamped(
        self, container: InputContainer, stream: VideoStream, decoded: Iterator[VideoFrame]
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Give every frame a time later than the one before; report repairs and a lost end once."""
        count, last, end, repaired, damage = 0, None, self.first_pts, False, ""
        try:
            for frame in decoded:
                pts = self._stamp(frame)
                if pts is None or (last is not None and pts <= last):
                    if not repaired:
                        log.warning(
                            "%s: frame %d has no usable time; rebuilt from the frame rate",
                            self.path,
                            count,
                        )
                    repaired = True
                    pts = self.first_pts if last is None else last + self._nominal
                yield pts, frame
                count, last, end = count + 1, pts, pts + (frame.duration or self._nominal)
        except av.FFmpegError as error:
            damage = str(error.strerror)
        seconds = float((end - self.first_pts) * self.info.time_base)
        expected = stream_seconds(container, stream)
        if damage or (expected is not None and expected - seconds > MISSING_SECONDS):
            log.warning(
                "%s is damaged%s: reading stops at %.2f s, after %d frames%s",
                self.path,
                f" ({damage})" if damage else "",
                seconds,
                count,
                f"; its header promises {expected:.2f} s" if expected else "",
            )

    def _stamp(self, frame: VideoFrame) -> int | None:
        """When the frame is shown, as far as the file knows."""
        if self._delay is not None:
            return None if frame.dts is None else frame.dts - self._delay
        pts = frame.pts if frame.pts is not None else frame.dts
        return None if pts is None else pts - self._clock

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """uint8 (H, W, 3), upright."""
        return self._developer.rgb(frame)


def _decode(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames in presentation order. Raises av.FFmpegError where the file is damaged."""
    stream.thread_type = "AUTO"
    for packet in container.demux(stream):
        yield from packet.decode()


class VideoReader:
    """Frames of a video, of a folder or of a pattern of pictures, one at a time.

    Use as a context manager and iterate: `with VideoReader(path) as frames: for frame in frames`.
    Each iteration starts anew at the beginning of the selection.

    path:       a media file, a folder of pictures, `frames/*.png` or `frames/%04d.png`.
    start, end: seconds after the first frame; frames with start <= time < end are selected.
    frames:     at most this many frames of the selection.
    skip:       frames of the selection that are decoded but not yielded (resuming a render).
    rate:       frames per second of pictures; media files bring their own times.
    hardware:   decode media files with an NVIDIA GPU, or raise TalkheadError.

    Raises TalkheadError when the path is missing, empty, not a video, without pictures or without
    any frame that decodes, and, while iterating, when the selection is empty. A file that is
    damaged further on ends there, with a warning in the log.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: float | None = None,
        end: float | None = None,
        frames: int | None = None,
        skip: int = 0,
        rate: Fraction | float = DEFAULT_RATE,
        hardware: bool = False,
    ) -> None:
        self.path = Path(path)
        self._start = _seconds("start", start)
        self._end = _seconds("end", end)
        if self._end is not None and self._end <= (self._start or 0):
            raise TalkheadError(f"end ({end} s) must come after start ({start or 0} s)")
        if frames is not None and frames < 1:
            raise TalkheadError(f"frames must be at least 1, not {frames}")
        self._frames = frames
        self._skip = skip
        self._running: Generator[Frame, None, None] | None = None
        self._source: MediaSource | PictureSource = (
            PictureSource(self.path, frame_rate(float(rate)))
            if is_picture_sequence(self.path)
            else MediaSource(self.path, hardware)
        )

    @property
    def info(self) -> VideoInfo:
        """What the header and the first frame say about the whole file."""
        return self._source.info

    @property
    def trimmed(self) -> bool:
        """Whether only a part of the file was asked for."""
        return bool(self._start) or self._end is not None or self._frames is not None

    @property
    def expected_frames(self) -> int | None:
        """About how many frames will be yielded; None when that cannot be estimated."""
        info = self.info
        count = info.frames
        if info.rate and (self._start or self._end is not None):
            ends = [end for end in (self._end, info.duration) if end is not None]
            count = round((min(ends) - (self._start or 0)) * info.rate) if ends else None
        if self._frames is not None:
            count = self._frames if count is None else min(self._frames, count)
        return None if count is None else max(0, count - self._skip)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of the iteration that was begun last."""
        if self._running is not None:
            self._running.close()

    def __iter__(self) -> Iterator[Frame]:
        self._running = self._iterate()
        return self._running

    def pick(self, numbers: Collection[int]) -> Iterator[Frame]:
        """Only these frames of the selection, counted from 0, in order; those that exist.

        The frames between are decoded and no more, so this is much quicker than iterating.
        """
        time_base, last = self.info.time_base, max(numbers)
        for number, (pts, picture) in enumerate(self._selected()):
            if number in numbers:
                yield Frame(self._source.rgb(picture), pts, time_base)
            if number == last:
                return

    def _iterate(self) -> Generator[Frame, None, None]:
        time_base = self.info.time_base
        for number, (pts, picture) in enumerate(self._selected()):
            if number >= self._skip:
                yield Frame(self._source.rgb(picture), pts, time_base)

    def _selected(self) -> Iterator[tuple[int, Any]]:
        """Times and undeveloped pictures between start and end, at most `frames` of them."""
        first, time_base = self._source.first_pts, self.info.time_base
        start = self._start or Fraction(0)
        count, last = 0, first
        for pts, picture in self._source.pictures(first + int(start / time_base)):
            last = pts
            seconds = (pts - first) * time_base
            if self._end is not None and seconds >= self._end:
                break
            if seconds < start:
                continue
            yield pts, picture
            count += 1
            if count == self._frames:
                break
        if count == 0:
            raise TalkheadError(
                f"nothing of {self.path} is selected: start is {float(start):g} s, and its last "
                f"frame is at {float((last - first) * time_base):.2f} s"
            )


def _seconds(name: str, value: float | None) -> Fraction | None:
    """Seconds as a person types them: 0.1 means exactly one tenth."""
    if value is None:
        return None
    if not 0 <= value <= LATEST:
        raise TalkheadError(f"{name} must lie between 0 and {LATEST:.0e} seconds, not {value:g}")
    return Fraction(value).limit_denominator(1_000_000)


def probe(path: str | Path) -> VideoInfo:
    """Read the header and the first frame of a video or picture sequence."""
    with VideoReader(path) as reader:
        return reader.info

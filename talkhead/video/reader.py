"""Reading: any video, animation, or folder or pattern of pictures, as upright RGB frames."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError
from talkhead.io.image import picture_header
from talkhead.structs import Frame
from talkhead.video.clock import Clock, clock_start
from talkhead.video.media import VideoInfo, describe, stream_seconds, video_track, video_tracks
from talkhead.video.opening import Media, Stamp, check_pixels, limit_pixels, open_media
from talkhead.video.pictures import AnimationSource, PictureSource, frame_rate, is_picture_sequence
from talkhead.video.pixels import FrameToRgb, pixel_aspect

log = logging.getLogger(__name__)

DEFAULT_RATE = Fraction(25)
RATE_FRAMES = 30  # whose times tell the frame rate where the header is wrong
SEEKABLE = ("mov,mp4", "matroska")  # containers whose index leads to exact presentation times
SEEK_FROM = 5.0  # seconds; decoding less than this is quicker than seeking
SEEK_MARGIN = 1.0  # seconds; an index may count decoding times, which run ahead of presentation
LATEST = 1e7  # seconds, four months
MISSING_SECONDS = 0.5  # a file that ends this much before its header says is reported


class MediaSource:
    """The pictures of one media file: decoded frames with repaired times, then pixels.

    first_pts is the time of the first frame that decodes; `info` describes the track.
    track: which of the video tracks, from 0; None: the one marked as default, or else the first.
    """

    def __init__(self, path: Path, hardware: bool = False, track: int | None = None) -> None:
        self.path = path
        self._hardware = hardware
        self._stamp: Stamp | None = None
        with self._open() as media:
            container = media.container
            self._track = video_track(container, path, track)
            stream = self._stream(media)
            first, times = self._begin(media)
            self._clock = clock_start(container)
            self._start = round(self._clock / (stream.time_base or 1))
            self._developer = FrameToRgb(pixel_aspect(stream, path))
            size = self._developer.size(first)
            self.info = describe(container, self._track, first, size, float(self._clock), times)
            # AVI stores no presentation times, and those guessed for B-frames are wrong: there the
            # times of decoding count, less the decoder's delay.
            by_decoding = container.format.name == "avi" and first.dts is not None
            self._delay = (first.dts or 0) - (stream.start_time or 0) if by_decoding else None
        self._stamp = media.stamp
        self.first_pts = self._time(first) or 0
        self._nominal = max(1, round(1 / (self.info.rate or DEFAULT_RATE) / self.info.time_base))
        if self.info.transfer != "sdr":
            log.warning(
                "%s is HDR (%s); its colours are read as SDR and will look dull: convert it first",
                path,
                self.info.transfer,
            )

    def _open(self) -> AbstractContextManager[Media]:
        return open_media(self.path, self._hardware, self._stamp)

    def _stream(self, media: Media) -> VideoStream:
        return video_tracks(media.container)[self._track]

    def _packets(self, media: Media, clock: Clock) -> Iterator[Packet]:
        """What is to be decoded, once the decoder is set."""
        stream = self._stream(media)
        stream.thread_type = "AUTO"
        limit_pixels(stream, self.path)
        return clock.packets(stream)

    def _begin(self, media: Media) -> tuple[VideoFrame, list[int]]:
        """The first frame that decodes, and the times of the first packets."""
        first, times = None, []
        try:
            for packet in self._packets(media, Clock(media.container)):
                time = packet.dts if packet.pts is None else packet.pts
                if time is not None:
                    times.append(time)
                if first is None:
                    first = next(iter(packet.decode()), None)
                elif len(times) > RATE_FRAMES:
                    break
        except av.FFmpegError as error:
            media.check(error)
            if first is None:
                raise TalkheadError(
                    f"{self.path} is damaged from its first frame on ({error.strerror})"
                ) from error
        if first is None:
            media.check()
            raise TalkheadError(
                f"{self.path} has no frame that can be decoded; it is damaged or cut off"
            )
        return first, times

    def pictures(self, from_pts: int) -> Iterator[tuple[int, VideoFrame]]:
        """Strictly increasing pts and frames; starts at a key frame at or before `from_pts`."""
        ahead = (from_pts - self.first_pts) * self.info.time_base
        if ahead >= SEEK_FROM:
            with self._open() as media:
                clock = Clock(media.container)
                decoded = self._seek(media, clock, from_pts)
                if decoded is not None:
                    yield from self._timed(media, clock, decoded)
                    return
        with self._open() as media:
            clock = Clock(media.container)
            yield from self._timed(media, clock, self._decode(media, clock))

    def _decode(self, media: Media, clock: Clock) -> Iterator[VideoFrame]:
        """Frames in presentation order. Raises av.FFmpegError where the file is damaged."""
        for packet in self._packets(media, clock):
            yield from packet.decode()

    def _seek(self, media: Media, clock: Clock, from_pts: int) -> Iterator[VideoFrame] | None:
        """Frames from a key frame at or before `from_pts`; None when the index leads elsewhere."""
        container = media.container
        if not container.format.name.startswith(SEEKABLE):
            return None
        target = from_pts + self._start - round(SEEK_MARGIN / self.info.time_base)
        try:
            container.seek(target, stream=self._stream(media))
            decoded = self._decode(media, clock)
            first = next(decoded, None)
        except av.FFmpegError as error:
            media.check(error)
            return None
        time = None if first is None else self._time(first)
        if first is None or time is None or time > from_pts:
            return None
        return chain([first], decoded)

    def _timed(
        self, media: Media, clock: Clock, decoded: Iterator[VideoFrame]
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Give every frame a time later than the one before; report repairs and a lost end once."""
        count, last, end, repaired, damage = 0, None, self.first_pts, False, ""
        try:
            for frame in decoded:
                pts = self._time(frame)
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
            media.check(error)
            damage = str(error.strerror)
        media.check()
        if clock.seams:
            places = ", ".join(f"{float(seam - self._clock):.2f}" for seam in clock.seams[:5])
            log.warning(
                "%s is several recordings joined together (at %s s); their times are moved so that "
                "they follow each other",
                self.path,
                places,
            )
        self._report_end(media, count, end, damage, joined=bool(clock.seams))

    def _report_end(self, media: Media, count: int, end: int, damage: str, joined: bool) -> None:
        """Warn when reading ended by damage, or before the time that the header promises."""
        time_base = self.info.time_base
        seconds = float((end - self.first_pts) * time_base)
        stream = self._stream(media)
        expected = stream_seconds(media.container, stream, float(self._clock))
        reached = max(seconds, float(end * time_base))
        lacking = expected is not None and not joined and expected - reached > MISSING_SECONDS
        if damage or lacking:
            log.warning(
                "%s is damaged%s: reading stops at %.2f s, after %d frames%s",
                self.path,
                f" ({damage})" if damage else "",
                seconds,
                count,
                f"; its header promises {expected:.2f} s" if expected else "",
            )

    def _time(self, frame: VideoFrame) -> int | None:
        """When the frame is shown, as far as the file knows."""
        if self._delay is not None:
            return None if frame.dts is None else frame.dts - self._delay
        pts = frame.pts if frame.pts is not None else frame.dts
        return None if pts is None else pts - self._start

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """uint8 (H, W, 3), upright."""
        return self._developer.rgb(frame)


def open_source(
    path: Path, rate: Fraction | float, hardware: bool, track: int | None
) -> MediaSource | PictureSource | AnimationSource:
    """What a path holds: a media file, a folder or pattern of pictures, an animated picture."""
    header = None
    if is_picture_sequence(path):
        source: PictureSource | AnimationSource = PictureSource(path, frame_rate(float(rate)))
    else:
        header = picture_header(path) if path.is_file() else None
        if header is None:
            return MediaSource(path, hardware, track)
        if header.frames != 1:
            check_pixels(header.width, header.height, path)
        if header.format == "GIF" and header.frames != 1:
            return MediaSource(path, hardware, track)
        if header.frames == 1:
            raise TalkheadError(
                f"{path} is one picture, and a video, an animation or a folder of pictures is "
                "needed (in animate the driving video comes last)"
            )
        source = AnimationSource(path, header)
    if track is not None:
        raise TalkheadError(f"{path} has no video tracks to choose from; leave out the number")
    return source


class VideoReader:
    """Frames of a video, of a folder or of a pattern of pictures, one at a time.

    Use as a context manager and iterate: `with VideoReader(path) as frames: for frame in frames`.
    Each iteration starts anew at the beginning of the selection.

    path:       a media file, an animated picture (WebP, PNG, AVIF), a folder of pictures,
                `frames/*.png` or `frames/%04d.png`.
    start, end: seconds after the first frame; frames with start <= time < end are selected.
    frames:     at most this many frames of the selection.
    skip:       frames of the selection that are decoded but not yielded (resuming a render).
    rate:       frames per second of pictures; media files bring their own times.
    hardware:   decode media files with an NVIDIA GPU, or raise TalkheadError.
    track:      which video track of a media file, from 0; None: the default one.

    Raises TalkheadError when the path is missing, empty, one picture, not a video, without pictures
    or without any frame that decodes, and, while iterating, when the selection is empty, the file
    has changed since it was first read or the disk fails. A file that is damaged further on ends
    there, with a warning in the log.
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
        track: int | None = None,
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
        self._source = open_source(self.path, rate, hardware, track)

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
    """Read the header and the first frames of a video or picture sequence."""
    with VideoReader(path) as reader:
        return reader.info

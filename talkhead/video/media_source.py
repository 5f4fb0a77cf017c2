"""The pictures of one media file: decoded, with repaired times, as upright RGB."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from talkhead.choices import USUAL_RATE
from talkhead.errors import TalkheadError
from talkhead.video.clock import Clock, clock_start
from talkhead.video.media import describe, stream_seconds, video_track, video_tracks
from talkhead.video.opening import Media, Stamp, limit_pixels, open_media
from talkhead.video.pixels import FrameToRgb, pixel_aspect

log = logging.getLogger(__name__)

RATE_FRAMES = 30  # whose times tell the frame rate where the header is wrong
SEEKABLE = ("mov,mp4", "matroska")  # containers whose index leads to exact presentation times
SEEK_FROM = 5.0  # seconds; decoding less than this is quicker than seeking
SEEK_MARGIN = 1.0  # seconds; an index may count decoding times, which run ahead of presentation
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
        rate = self.info.rate or Fraction(USUAL_RATE)
        self._nominal = max(1, round(1 / rate / self.info.time_base))
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
                # So FFmpeg says, too, that a picture is larger than its decoder may take.
                large = ", or its pictures are too large" if error.errno == errno.EINVAL else ""
                raise TalkheadError(
                    f"{self.path} is damaged from its first frame on ({error.strerror}){large}"
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

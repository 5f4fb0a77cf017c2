"""Reading: any video, animation, or folder or pattern of pictures, as upright RGB frames."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from talkhead.choices import USUAL_RATE
from talkhead.errors import TalkheadError
from talkhead.io.image import picture_header
from talkhead.structs import Frame
from talkhead.video.media import VideoInfo
from talkhead.video.media_source import MediaSource
from talkhead.video.opening import check_pixels
from talkhead.video.pictures import AnimationSource, PictureSource, frame_rate, is_picture_sequence

LATEST = 1e7  # seconds, four months


def open_source(
    path: Path, rate: Fraction | float, hardware: bool, track: int | None, hold: bool = True
) -> MediaSource | PictureSource | AnimationSource:
    """What a path holds: a media file, a folder or pattern of pictures, an animated picture."""
    header = None
    if is_picture_sequence(path):
        source: PictureSource | AnimationSource = PictureSource(path, frame_rate(float(rate)), hold)
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
    hold:       show the picture before a broken one of a folder for longer, with a warning; else
                raise TalkheadError.

    info:       what the header and the first frame say about the whole file; of it time_base, rate
                and has_sound, as of a `LiveReader`.

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
        rate: Fraction | float = USUAL_RATE,
        hardware: bool = False,
        track: int | None = None,
        hold: bool = True,
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
        self._source = open_source(self.path, rate, hardware, track, hold)
        self.info = self._source.info
        self.time_base, self.rate = self.info.time_base, self.info.rate
        self.has_sound = self.info.audio_codec is not None

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

    def __exit__(self, *_: object) -> None:
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
        last = max(numbers)
        for number, (pts, picture) in enumerate(self._selected()):
            if number in numbers:
                yield Frame(self._source.rgb(picture), pts, self.time_base)
            if number == last:
                return

    @property
    def begins(self) -> float:
        """When the first picture is shown, in seconds of the frames' own clock."""
        return float(self._source.first_pts * self.time_base)

    def _iterate(self) -> Generator[Frame, None, None]:
        for number, (pts, picture) in enumerate(self._selected()):
            if number >= self._skip:
                yield Frame(self._source.rgb(picture), pts, self.time_base)

    def _selected(self) -> Iterator[tuple[int, Any]]:
        """Times and undeveloped pictures between start and end, at most `frames` of them."""
        first, time_base = self._source.first_pts, self.time_base
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

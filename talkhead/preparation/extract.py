"""One video: follow its faces, judge every stretch, write the good ones."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from talkhead.choices import USUAL_RATE
from talkhead.data.manifest import ClipEntry
from talkhead.errors import TalkheadError
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import FACE_SHARE
from talkhead.io.atomic import atomic_path
from talkhead.io.image import write_image
from talkhead.preparation.cutting import Cutter, Piece
from talkhead.preparation.lists import Segment
from talkhead.preparation.options import PrepareOptions
from talkhead.preparation.quality import Quality, measure, reason
from talkhead.preparation.sources import Source, safe_name
from talkhead.preparation.stretch import Stretch, Stretches
from talkhead.structs import Crop, Frame
from talkhead.video import VideoReader

log = logging.getLogger(__name__)

CLIPS, LANDMARKS, REJECTED = "clips", "landmarks", "rejected"
FASTEST = 30  # frames per second of a clip, about; of quicker videos every n-th frame is taken
PICTURES = 4  # of rejected stretches, that are kept of each video
SMALLEST = 0.5  # of the height of the smallest face that is taken: smaller ones are not followed


@dataclass(frozen=True)
class Rejected:
    """A stretch that was left out: why (see `quality.REASONS`), where, and a picture of it."""

    reason: str
    start: float
    end: float
    picture: str | None = None


@dataclass(frozen=True)
class Extract:
    """What became of one video. seconds: of it that were looked at; faceless: without a face."""

    clips: tuple[ClipEntry, ...]
    rejected: tuple[Rejected, ...]
    seconds: float
    faceless: float


def extract(source: Source, options: PrepareOptions, finder: FaceFinder) -> Extract:
    """Write the clips and landmarks of a video; files of the same names are replaced.

    Raises TalkheadError for a video that cannot be read, OSError for what the disk says.
    """
    video, read = _Video(source, options, finder), 0
    for number, segment in enumerate(source.segments, start=1):
        listed = len(video.clips)
        try:
            video.take(segment)
            read += 1
        except TalkheadError as error:
            if number == len(source.segments) and not read:
                raise  # nothing of it could be read
            log.warning("%s", error)
            del video.clips[listed:]  # their files are not whole
            start = segment.start or 0.0
            video.rejected.append(Rejected("unreadable", start, segment.end or start))
    return Extract(
        tuple(video.clips), tuple(video.rejected), round(video.seconds, 3), round(video.faceless, 3)
    )


class _Video:
    """A video on its way to clips, part by part."""

    def __init__(self, source: Source, options: PrepareOptions, finder: FaceFinder) -> None:
        self._source = source
        self._options = options
        self._finder = finder
        self._names: set[str] = set()
        self.clips: list[ClipEntry] = []
        self.rejected: list[Rejected] = []
        self.seconds = self.faceless = 0.0

    def take(self, segment: Segment) -> None:
        """Follow the faces of a part, and write what is good of them."""
        options = self._options
        path, start, end = self._source.path, segment.start or None, segment.end
        with (
            VideoReader(path, start=start, end=end) as ahead,
            VideoReader(path, start=start, end=end) as behind,
        ):
            own_rate = ahead.info.rate or Fraction(USUAL_RATE)
            every = max(1, round(own_rate / FASTEST))
            rate = (own_rate / every).limit_denominator(1001)
            small = SMALLEST * FACE_SHARE * options.size / options.max_enlargement
            stretches = Stretches(self._finder, small, max(1, int(options.longest * rate)))
            pictures = ((number, frame.rgb) for number, frame in _numbered(behind, every))
            with Cutter(pictures, options.size, rate) as cutter:
                for number, frame in _numbered(ahead, every):
                    # As lists and `start` count: from the first picture, whatever the clock says.
                    ended = stretches.add(number, frame.rgb, frame.seconds - ahead.begins)
                    begun = stretches.oldest
                    cutter.cut(
                        self._judge(ended, segment, rate), number if begun is None else begun
                    )
                    self.seconds += float(1 / rate)
                    self.faceless += 0.0 if begun is not None else float(1 / rate)
                cutter.finish(self._judge(stretches.finish(), segment, rate))

    def _judge(
        self, stretches: Iterable[Stretch], segment: Segment, rate: Fraction
    ) -> Iterator[Piece]:
        """Note every stretch; the good ones are to be cut out."""
        for stretch in stretches:
            crop = stretch.square()
            quality = measure(stretch, crop, self._options.size)
            seconds = len(stretch) / rate
            why = reason(quality, float(seconds), self._options)
            if not _is_wanted(stretch, segment):
                why = "other"
            if why is None:
                yield self._accept(stretch, segment, crop, quality, rate)
            else:
                self._reject(stretch, why)

    def _accept(
        self, stretch: Stretch, segment: Segment, crop: Crop, quality: Quality, rate: Fraction
    ) -> Piece:
        """List a clip and write its landmarks."""
        out, size = self._options.output, self._options.size
        name = self._name(stretch, segment, rate)
        folder = safe_name(segment.identity)
        clip = f"{CLIPS}/{folder}/{name}.mp4"
        landmarks = f"{LANDMARKS}/{folder}/{name}.npz"
        for file in (clip, landmarks):
            (out / file).parent.mkdir(parents=True, exist_ok=True)
        points = (np.stack(stretch.points) - (crop.x, crop.y, 0)) * (size / crop.side)
        with atomic_path(out / landmarks) as partial:
            np.savez(partial, points=points.astype(np.float16))
        start, end = stretch.seconds
        self.clips.append(
            ClipEntry(
                clip=clip,
                landmarks=landmarks,
                identity=segment.identity,
                source=str(self._source.path),
                start=round(start, 3),
                end=round(end + float(1 / rate), 3),
                box=(int(crop.x), int(crop.y), int(crop.side)),
                size=size,
                fps=round(float(rate), 4),
                frames=len(stretch),
                quality=quality.plain(),
            )
        )
        return Piece(out / clip, stretch.start, stretch.stop, crop)

    def _name(self, stretch: Stretch, segment: Segment, rate: Fraction) -> str:
        """As VoxCeleb has it: identity#video#first frame#last frame."""
        first = round(stretch.seconds[0] * rate)
        identity, ends = safe_name(segment.identity), f"{first:06d}#{first + len(stretch):06d}"
        # Several people are seen at the same time.
        suffixes = itertools.chain([""], (f".{number}" for number in itertools.count(2)))
        names = (f"{identity}#{self._source.name}{suffix}#{ends}" for suffix in suffixes)
        name = next(name for name in names if name not in self._names)
        self._names.add(name)
        return name

    def _reject(self, stretch: Stretch, why: str) -> None:
        """Note a stretch that is left out, with a picture of the first few."""
        picture = None
        if sum(each.picture is not None for each in self.rejected) < PICTURES:
            name = f"{self._source.name}#{len(self.rejected):04d}"
            picture = f"{REJECTED}/{safe_name(self._source.segments[0].identity)}#{name}.jpg"
            (self._options.output / REJECTED).mkdir(exist_ok=True)
            write_image(self._options.output / picture, stretch.picture)
        start, end = (round(each, 3) for each in stretch.seconds)
        self.rejected.append(Rejected(why, start, end, picture))


def _numbered(reader: VideoReader, every: int) -> Iterator[tuple[int, Frame]]:
    """Every so many-th frame, numbered from 0."""
    return enumerate(itertools.islice(reader, 0, None, every))


def _is_wanted(stretch: Stretch, segment: Segment) -> bool:
    """Whether most frames show the face that the list means."""
    start, end = stretch.seconds
    times = np.linspace(start, end, len(stretch))
    centres = (np.stack(stretch.boxes)[:, :2] + np.stack(stretch.boxes)[:, 2:]) / 2
    shown = [
        segment.shows(time, (x, y), *stretch.frame)
        for time, (x, y) in zip(times, centres, strict=True)
    ]
    return sum(shown) > len(shown) / 2

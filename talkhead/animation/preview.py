"""A few frames across a driving video, drawn without reading the rest of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, lru_cache, partial
from pathlib import Path
from threading import Lock

import numpy as np

from talkhead.animation.driving import DrivingBatch, motion_settings, open_driving
from talkhead.animation.paths import stamps
from talkhead.animation.portrait import Portrait
from talkhead.animation.renderer import FrameRenderer
from talkhead.animation.resolution import check_abilities, load_sources, settle_size
from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.faces.alignment import Detector, make_finder
from talkhead.faces.choice import NoFaceError, choose
from talkhead.faces.crop import cut
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import Framed, Framer, SteadyCrop
from talkhead.inference.engine import Engine
from talkhead.motion.anchor import closest_frame
from talkhead.structs import Crop, Face, Frame, Keypoints

log = logging.getLogger(__name__)

SEARCHED = 4  # frames looked at for the anchor, for each one that is drawn
NEAR = 600  # frames up to which a video is decoded from its start, rather than sought through
LONGEST = 1500  # frames that are looked at where a video does not say how many it has
DRAWN_AT_ONCE = 2  # few, so that the first is shown early


@dataclass(frozen=True)
class PreviewFrame:
    """One frame of a preview: rgb uint8 (H, W, 3), and its time in the driving video."""

    rgb: np.ndarray
    seconds: float


@dataclass(frozen=True, eq=False)
class Samples:
    """Frames across a driving video: times, crops, cropped pictures and keypoints."""

    pts: list[int]
    time_base: Fraction
    crops: list[Crop]
    pictures: list[np.ndarray]
    keypoints: Keypoints


class Preview:
    """Draws a few frames of what a render would be.

    It differs from the render in four ways: anchor `auto` is sought among a few frames instead of
    all; crops jump where a render's glide; smoothing, which acts between frames, is left out; so
    are the frames between, over which a render follows the optical flow.
    What a change of settings leaves as it was (portrait, crops, keypoints) is kept between calls,
    and found once where several threads ask for it.

    count:  how many frames are drawn, spread evenly over what `RenderSettings` select.
    finder: finds faces with a detector, where several previews share what does.
    """

    def __init__(
        self,
        engine: Engine,
        count: int = 6,
        finder: Callable[[Detector], FaceFinder] | None = None,
    ) -> None:
        self._engine = engine
        self._count = count
        self._lock = Lock()
        self._finder = finder or cache(partial(make_finder, device=str(engine.device)))
        self._source = lru_cache(2)(self._load_source)
        self._samples = lru_cache(2)(self._find_samples)

    def __call__(
        self, source: Path, driving: Path, settings: RenderSettings
    ) -> Iterator[PreviewFrame]:
        """The frames in order, each as soon as it is drawn. Raises TalkheadError."""
        check_abilities(self._engine, settings)
        with self._lock:
            portrait = self._source(source, _of_source(settings), tuple(stamps([source])))
            encoded = self._engine.sharpened(portrait.encoded, settings.sharpness)
            portrait = replace(portrait, encoded=encoded)
            samples = self._samples(driving, motion_settings(settings), tuple(stamps([driving])))
        settings = settle_size(settings, [portrait], self._engine.image_size)
        anchor = self._anchor(driving, settings, portrait.encoded.keypoints, samples)
        time_base = samples.time_base
        renderer = FrameRenderer(
            self._engine, [portrait], [anchor], replace(settings, smooth=0.0), time_base
        )
        shown = spread(len(samples.pts), self._count)
        for start in range(0, len(shown), DRAWN_AT_ONCE):
            batch = _batch(samples, shown[start : start + DRAWN_AT_ONCE])
            for drawn in renderer.draw(batch):
                yield PreviewFrame(renderer.compose(drawn), float(drawn.pts * time_base))

    def _load_source(self, path: Path, settings: RenderSettings, _stamps: object) -> Portrait:
        finder = self._finder(settings.detector)
        (portrait,), _ = load_sources([path], self._engine, settings, finder)
        return portrait

    def _find_samples(self, path: Path, settings: RenderSettings, _stamps: object) -> Samples:
        frames = sample_frames(path, settings, self._count * SEARCHED)
        finder = self._finder(settings.detector)
        pts, crops, pictures, present = [], [], [], []
        time_base = Fraction(1)
        for frame, framed in with_crops(frames, settings, finder, every=SEARCHED):
            time_base = frame.time_base
            pts.append(frame.pts)
            crops.append(framed.crop)
            pictures.append(cut(frame.rgb, framed.crop, self._engine.image_size))
            present.append(framed.present)
        # Where nobody is there the portrait rests, as in a render.
        moving, moves = pictures[present.index(True) if any(present) else 0], []
        for picture, there in zip(pictures, present, strict=True):
            moving = picture if there else moving
            moves.append(moving)
        keypoints = self._engine.detect(moves, self._engine.tracker())
        return Samples(pts, time_base, crops, pictures, keypoints)

    def _anchor(
        self, driving: Path, settings: RenderSettings, source: Keypoints, samples: Samples
    ) -> Keypoints | None:
        """What relative motion is measured from."""
        if settings.motion != "relative":
            return None
        if settings.anchor == "auto":
            best = closest_frame(source, samples.keypoints, self._engine.has_landmarks)
            return samples.keypoints[best : best + 1]
        number = 0 if settings.anchor == "first" else int(settings.anchor)
        if number == 0:
            return samples.keypoints[:1]
        frame = next(open_driving(driving, settings).pick([number]), None)
        if frame is None:
            raise TalkheadError(
                f"the anchor is frame {number}, but the driver has fewer frames (from 0)"
            )
        gaps = [abs(pts - frame.pts) for pts in samples.pts]
        crop = samples.crops[gaps.index(min(gaps))]
        picture = cut(frame.rgb, crop, self._engine.image_size)
        return self._engine.detect([samples.pictures[0], picture], self._engine.tracker())[1:]


def sample_frames(path: Path, settings: RenderSettings, count: int) -> Iterator[Frame]:
    """At most `count` frames, spread evenly over what is selected, its first among them.

    Of a video that does not say how many frames it has, over the first `LONGEST`.
    """
    with open_driving(path, settings) as reader:
        total, rate = reader.expected_frames, reader.info.rate
        if total is None or rate is None:
            total = sum(1 for _ in reader.pick(range(LONGEST)))
        if total <= NEAR or rate is None:
            yield from reader.pick(spread(max(total, 1), count))
            return
    for number in spread(total, count):
        second = (settings.start or 0) + float(number / rate)
        try:
            yield from open_driving(path, replace(settings, start=second, end=None, frames=1))
        except TalkheadError as error:
            if number == 0:
                raise
            # It ends before its header says; a render shows what is there.
            log.warning("the preview ends at %.1f s: %s", second, error)
            return


def with_crops(
    frames: Iterable[Frame], settings: RenderSettings, finder: FaceFinder, every: int
) -> Iterator[tuple[Frame, Framed]]:
    """Each frame and its crop; with `auto` the face is looked for in every `every`-th frame."""
    wish = settings.driving_policy
    if wish != "auto":
        framer = Framer(wish, finder)
        for frame in frames:
            framed = framer.frame(frame.rgb)
            assert framed is not None  # nobody is followed
            yield frame, framed
        return
    steady, last, present = SteadyCrop(), None, False
    waiting: list[tuple[Frame, bool]] = []  # for the first face
    for number, frame in enumerate(frames):
        if number % every == 0:
            height, width = frame.rgb.shape[:2]
            face = _follow(frame.rgb, last, finder, settings.driving_face)
            last = steady.update(face, width, height, jumped=True)
            present = face is not None
        waiting.append((frame, present))
        if last is not None:
            yield from ((each, Framed(last, there)) for each, there in waiting)
            waiting.clear()
    if last is None:
        raise NoFaceError(
            "no face found in the driving video; say where it is with --crop-driving x,y,size "
            "(or none)"
        )


def _follow(
    rgb: np.ndarray, last: Crop | None, finder: FaceFinder, number: int | None
) -> Face | None:
    """The face that is asked for, afterwards the one nearest to where it was."""
    faces = finder.find(rgb, every=number is not None)
    if last is None or not faces:
        return choose(faces, number) if faces else None
    x, y = last.x + last.side / 2, last.y + last.side / 2
    return min(faces, key=lambda face: math.dist(face.centre, (x, y)))


def spread(total: int, count: int) -> list[int]:
    """At most `count` of the numbers from 0 to `total` - 1, evenly spread, 0 among them."""
    return sorted({number * total // count for number in range(count)})


def _batch(samples: Samples, numbers: list[int]) -> DrivingBatch:
    return DrivingBatch(
        samples.keypoints.map(lambda tensor: tensor[numbers]),
        [samples.pts[number] for number in numbers],
        [samples.pictures[number] for number in numbers],
    )


def _of_source(settings: RenderSettings) -> RenderSettings:
    """The same for all settings that treat the portrait alike."""
    return settings.only("crop_source", "face", "detector", "paste_back", "size", "max_side")

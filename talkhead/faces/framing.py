"""Where the crop lies around a face, in a still picture and steadily over a video.

Boxes are in frame pixels: x = 0 is the left edge of the first pixel, whose centre is at 0.5.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from talkhead.faces.appearance import Appearance
from talkhead.faces.choice import NoFaceError, choose
from talkhead.faces.crop import centre_square, cut, rotation, whole_pixels
from talkhead.faces.tracker import FaceTracker
from talkhead.structs import Crop, Face, Frame

if TYPE_CHECKING:
    from talkhead.faces.finder import FaceFinder

log = logging.getLogger(__name__)

# What the networks were trained on: the face mesh (top of the forehead to chin) takes 0.55 of the
# crop's side, 0.66 at most where the picture ends early, and its centre lies at 0.52 of the height.
FACE_SHARE, FACE_SHARE_MAX, FACE_CENTRE = 0.55, 0.66, 0.52
LARGEST_SHIFT = 0.08  # share of its side by which a crop moves rather than stick out of the frame
UPRIGHT = 20.0  # degrees of roll up to which a head is left as it is


def face_crop(face: Face, frame_width: int, frame_height: int) -> Crop:
    """The crop around a face that frames it as the networks were trained, in whole pixels.

    It becomes tighter, then moves a little, to stay within the frame; the rest may stick out. Roll
    is left as it is.
    """
    x, y = face.centre
    mesh = face.height
    side = max(min(mesh / FACE_SHARE, frame_width, frame_height), mesh / FACE_SHARE_MAX)
    left = _pull_inside(x - side / 2, side, frame_width)
    top = _pull_inside(y - FACE_CENTRE * side, side, frame_height)
    return Crop(round(left), round(top), round(side))


def upright_crop(face: Face, frame_width: int, frame_height: int) -> Crop:
    """The same for a still picture: turned with a head that lies by more than `UPRIGHT` degrees."""
    if abs(face.roll) <= UPRIGHT:
        return face_crop(face, frame_width, frame_height)
    axes = rotation(math.radians(face.roll))
    turned = face.points[:, :2] @ axes
    low, high = turned.min(axis=0), turned.max(axis=0)
    side = float(high[1] - low[1]) / FACE_SHARE
    x, y = axes @ ((low + high) / 2 + (0, (0.5 - FACE_CENTRE) * side))
    left, top = round(float(x) - side / 2), round(float(y) - side / 2)
    return Crop(left, top, round(side), round(face.roll))


def crop_face(picture: np.ndarray, size: int, face: Face | None = None) -> np.ndarray:
    """A face of rgb uint8 (H, W, 3), framed as the networks were trained; uint8 (size, size, 3).

    face: one of `find_faces`; None: the largest, which is looked for. Raises NoFaceError where
    there is none.
    """
    if face is None:
        from talkhead.faces.finder import find_faces  # waits: it loads torch

        face = choose(find_faces(picture))
    return cut(picture, upright_crop(face, picture.shape[1], picture.shape[0]), size)


def _pull_inside(start: float, side: float, length: int) -> float:
    """Shift the span [start, start + side] towards [0, length], by a limited amount."""
    inside = min(max(start, 0.0), length - side) if side <= length else (length - side) / 2
    limit = LARGEST_SHIFT * side
    return start + min(max(inside - start, -limit), limit)


class SteadyCrop:
    """A crop that stays where it is while the face stays well inside, and else follows it.

    Steadiness is worth more than centring, since the networks were trained on crops that stand
    still. It glides back to the middle once the face has left that, is never far behind, and jumps
    where the face does. In frames of another size it covers the same part.

    jumps: how often it jumped.
    """

    HOLD = 0.12  # the crop holds while the face is off its place by less, in crop sides
    HOLD_SIZE = 1.25  # ... and has not grown or shrunk by more than this
    GLIDE = 0.12  # share of the way to go that is gone in each frame
    LEASH, LEASH_SIZE = 0.18, 1.4  # the furthest that the face may be off, or differ in size

    def __init__(self, start: Crop | None = None) -> None:
        self._crop = start
        self._size = (0, 0)
        self._gliding = False
        self.jumps = 0

    def update(self, face: Face | None, width: int, height: int, jumped: bool) -> Crop | None:
        """The crop for the next frame, in whole pixels; None before the first face.

        jumped: the face does not continue the one before.
        """
        first = self._size == (0, 0)
        self._fit(width, height)
        if face is not None:
            target = face_crop(face, width, height)
            if self._crop is None:
                self._crop = target
            elif jumped and not self._holds(target):
                self._crop, self._gliding = target, False
                self.jumps += not first  # nothing has been seen of where it started
            elif self._gliding or not self._holds(target):
                self._glide(self._crop, target)
        if self._crop is None:
            return None
        return Crop(*(float(v) for v in whole_pixels(self._crop)))

    def _fit(self, width: int, height: int) -> None:
        """Follow a change of the frames' size."""
        (old_width, old_height), self._size = self._size, (width, height)
        if self._crop is None or not old_width or self._size == (old_width, old_height):
            return
        x, y = width / old_width, height / old_height
        side = self._crop.side * math.sqrt(x * y)
        self._crop = _around(
            (self._crop.x + self._crop.side / 2) * x, (self._crop.y + self._crop.side / 2) * y, side
        )

    def _holds(self, target: Crop) -> bool:
        assert self._crop is not None
        dx, dy = _offset(target, self._crop)
        growth = target.side / self._crop.side
        return max(abs(dx), abs(dy)) < self.HOLD and 1 / self.HOLD_SIZE < growth < self.HOLD_SIZE

    def _glide(self, here: Crop, target: Crop) -> None:
        side = here.side + self.GLIDE * (target.side - here.side)
        side = min(max(side, target.side / self.LEASH_SIZE), target.side * self.LEASH_SIZE)
        leash = self.LEASH * side

        def go(start: float, goal: float) -> float:
            at = start + self.GLIDE * (goal - start)
            return min(max(at, goal - leash), goal + leash)

        x = go(here.x + here.side / 2, target.x + target.side / 2)
        y = go(here.y + here.side / 2, target.y + target.side / 2)
        self._crop = _around(x, y, side)
        dx, dy = _offset(target, self._crop)
        rest = max(abs(dx), abs(dy), abs(target.side / side - 1))
        self._gliding = rest > 0.015


def _around(x: float, y: float, side: float) -> Crop:
    return Crop(x - side / 2, y - side / 2, side)


def _offset(crop: Crop, other: Crop) -> tuple[float, float]:
    """From the centre of `other` to that of `crop`, in sides of `other`."""
    half = crop.side / 2 - other.side / 2
    return (crop.x + half - other.x) / other.side, (crop.y + half - other.y) / other.side


@dataclass(frozen=True)
class Framed:
    """The crop of a driving frame; present: whether the face is there, else the portrait rests."""

    crop: Crop
    present: bool


class Framer:
    """Crops driving frames by one policy: follow the face, the centred square, or a fixed crop.

    crop: "auto", "none" or a fixed one. face: which person, counted from the left from 1.
    """

    SECONDS = 30.0  # of video that are searched for the first face
    COUNTING = 2.0  # seconds over which people are counted where one of them is asked for,
    WAITING = 10.0  # and at most so many until there are enough
    EVERY = 5  # frames between two that are searched ahead
    SAMPLES = 5  # faces whose median is the first crop: steadier than one

    def __init__(self, crop: Crop | str, finder: FaceFinder, face: int | None = None) -> None:
        self._crop = crop
        self._finder = finder
        self._number = face
        self._tracker = FaceTracker(finder, face)
        self._steady = SteadyCrop()

    @property
    def lost(self) -> int:
        """How often the face was lost."""
        return self._tracker.lost

    @property
    def cuts(self) -> int:
        """How often the crop jumped."""
        return self._steady.jumps

    def start(self, frames: Iterable[Frame]) -> tuple[np.ndarray, Crop] | None:
        """Look ahead for the first face: the first frame that shows it, and the first crop.

        Then call `frame` from the first frame on. Nothing to be done (None) where no face is
        followed. Raises NoFaceError when nobody is found, TalkheadError when there is no such face
        number.
        """
        if self._crop != "auto":
            return None
        samples = self._samples(frames)
        first, faces = self._first(samples)
        face = choose(faces, self._number)
        height, width = first.rgb.shape[:2]
        person = Appearance.of(first.rgb, face.points)
        crops = [face_crop(face, width, height)]
        scout = FaceTracker(self._finder, self._number, person)
        for _, frame in samples:
            found = scout.update(frame.rgb)
            if scout.cuts or frame.rgb.shape != first.rgb.shape or len(crops) == self.SAMPLES:
                break
            if found is not None:
                crops.append(face_crop(found, width, height))
        self._tracker = FaceTracker(self._finder, self._number, person)
        crop = _median([c for c in crops if _near(c, crops[0])])
        self._steady = SteadyCrop(crop)
        if abs(face.roll) > 45:
            log.warning(
                "the driving head lies by %.0f degrees; turn the video for a better result",
                face.roll,
            )
        return first.rgb, crop

    def _samples(self, frames: Iterable[Frame]) -> Iterator[tuple[float, Frame]]:
        """Some frames, with the seconds since the first."""
        begin = None
        for number, frame in enumerate(frames):
            begin = frame.seconds if begin is None else begin
            seconds = frame.seconds - begin
            if seconds > self.SECONDS:
                return
            if number % self.EVERY == 0:
                yield seconds, frame

    def _first(self, samples: Iterator[tuple[float, Frame]]) -> tuple[Frame, list[Face]]:
        """The first frame with a face.

        Where one of several is asked for: that with most faces of the first seconds, or the first
        later one with enough.
        """
        best: tuple[Frame, list[Face]] | None = None
        seconds = 0.0
        for seconds, frame in samples:
            if best and seconds > self.COUNTING:
                enough = len(best[1]) >= (self._number or 1)
                if enough or seconds > self.WAITING:
                    break
            faces = self._finder.find(frame.rgb, every=self._number is not None)
            if faces and self._number is None:
                return frame, faces
            if len(faces) > (len(best[1]) if best else 0):
                best = frame, faces
        if best is None:
            first = f"the first {seconds:.2g} seconds" if seconds else "the first frames"
            raise NoFaceError(
                f"no face found in {first} of the driving video; "
                "say where it is with --crop-driving x,y,size (or none)"
            )
        return best

    def frame(self, rgb: np.ndarray) -> Framed | None:
        """The crop of the next frame, rgb uint8 (H, W, 3); None: nobody has been seen yet."""
        if isinstance(self._crop, Crop):
            return Framed(self._crop, True)
        height, width = rgb.shape[:2]
        if self._crop == "none":
            return Framed(centre_square(width, height), True)
        face = self._tracker.update(rgb)
        crop = self._steady.update(face, width, height, self._tracker.jumped)
        return None if crop is None else Framed(crop, face is not None)


def _near(crop: Crop, other: Crop) -> bool:
    """Whether two crops can frame one face that talks and turns."""
    return math.hypot(*_offset(crop, other)) < 0.5 and 0.6 < crop.side / other.side < 1.6


def _median(crops: Sequence[Crop]) -> Crop:
    """Median centre and side."""
    rows = [(c.x + c.side / 2, c.y + c.side / 2, c.side) for c in crops]
    x, y, side = (statistics.median(column) for column in zip(*rows, strict=True))
    return _around(x, y, side)

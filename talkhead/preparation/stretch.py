"""Stretches: consecutive frames of a video in which one face stays within one square."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import FACE_CENTRE, FACE_SHARE
from talkhead.faces.landmarker import SIDE
from talkhead.faces.people import PeopleTracker, Sighting
from talkhead.faces.regions import Region
from talkhead.preparation.quality import sharpness
from talkhead.structs import Crop

# Of the square's side: what the face may cover in all frames together.
UNION_HEIGHT, UNION_WIDTH = 0.72, 0.8
WIDEST = 1.3  # times the side that the face itself asks for; beyond, another stretch is begun
BATCH = 16  # faces whose lips, lids and irises are looked at together
_WHOLE = Region(SIDE / 2, SIDE / 2, SIDE)  # of a cut that was made before


@dataclass(eq=False)
class Stretch:
    """The face in consecutive frames, the first of which is number `start`.

    boxes: left, top, right, bottom of each face in frame pixels. points: (478, 3) of each.
    others: centres (n, 2) of other faces in each frame. seconds: of the first and the last frame.
    frame: width and height of the video's.
    """

    start: int
    frame: tuple[int, int]
    boxes: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    presences: list[float] = field(default_factory=list)
    sharpnesses: list[float] = field(default_factory=list)
    others: list[np.ndarray] = field(default_factory=list)
    seconds: tuple[float, float] = (0.0, 0.0)
    picture: np.ndarray = field(default_factory=lambda: np.zeros((SIDE, SIDE, 3), np.uint8))
    waiting: list[tuple[Region, np.ndarray]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def stop(self) -> int:
        """The number of the frame after the last."""
        return self.start + len(self)

    def has_room_for(self, box: np.ndarray) -> bool:
        """Whether a square around all faces, this one too, would not be too large for each."""
        boxes = np.stack([*self.boxes, box])
        own, union = _sides(boxes)
        return union <= WIDEST * own

    def square(self) -> Crop:
        """The square of all its frames, framed as the networks are trained; within the frame."""
        width, height = self.frame
        boxes = np.stack(self.boxes)
        side = round(min(max(_sides(boxes)), width, height))
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        x, y = (low + high) / 2
        left = min(max(round(x - side / 2), 0), width - side)
        top = min(max(round(y - FACE_CENTRE * side), 0), height - side)
        return Crop(left, top, side)


def _sides(boxes: np.ndarray) -> tuple[float, float]:
    """The side of a square by the usual height of the faces, and by all that they cover."""
    heights = boxes[:, 3] - boxes[:, 1]
    width, height = boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)
    own = float(np.median(heights)) / FACE_SHARE
    return own, max(float(height) / UNION_HEIGHT, float(width) / UNION_WIDTH)


class Stretches:
    """Divides a video into stretches: at cuts, losses, leaps of the head, and when they are long.

    least: height in pixels of the faces that count. longest: frames of a stretch.
    """

    def __init__(self, finder: FaceFinder, least: float, longest: int) -> None:
        self._landmarker = finder.landmarker
        self._people = PeopleTracker(finder, least)
        self._longest = longest
        self._open: dict[int, Stretch] = {}

    def add(self, number: int, rgb: np.ndarray, seconds: float) -> list[Stretch]:
        """Look at the next frame, rgb uint8 (H, W, 3); returns the stretches that end before it."""
        seen = self._people.update(rgb)
        numbers = {each.number for each in seen}
        ended = [self._end(n) for n in list(self._open) if n not in numbers]
        for each in seen:
            box = _box(each)
            stretch = self._open.get(each.number)
            if stretch and (len(stretch) == self._longest or not stretch.has_room_for(box)):
                ended.append(self._end(each.number))
                stretch = None
            if stretch is None:
                stretch = Stretch(number, (rgb.shape[1], rgb.shape[0]), seconds=(seconds, seconds))
                self._open[each.number] = stretch
            centres = [other.face.centre for other in seen if other is not each]
            self._append(stretch, each, box, rgb, np.array(centres).reshape(-1, 2))
            stretch.seconds = stretch.seconds[0], seconds
        return ended

    def finish(self) -> list[Stretch]:
        """The stretches that end with the video."""
        return [self._end(number) for number in list(self._open)]

    @property
    def oldest(self) -> int | None:
        """Where the first of the stretches begins that have not ended yet."""
        return min((stretch.start for stretch in self._open.values()), default=None)

    def _append(
        self,
        stretch: Stretch,
        seen: Sighting,
        box: np.ndarray,
        rgb: np.ndarray,
        others: np.ndarray,
    ) -> None:
        cut = seen.region.cut(rgb, SIDE)
        if len(stretch).bit_count() <= 1:  # at last one between its middle and its end
            stretch.picture = cut
        stretch.boxes.append(box)
        stretch.presences.append(seen.face.presence)
        stretch.sharpnesses.append(sharpness(cut))
        stretch.others.append(others)
        stretch.waiting.append((seen.region, cut))
        if len(stretch.waiting) == BATCH:
            self._refine(stretch)

    def _refine(self, stretch: Stretch) -> None:
        """Lips, lids and irises of the frames that wait for it."""
        cuts = [cut for _, cut in stretch.waiting]
        found = self._landmarker.refine(cuts, [_WHOLE] * len(cuts))
        for (region, _), points in zip(stretch.waiting, found, strict=True):
            stretch.points.append(region.to_picture(points, SIDE))
        stretch.waiting.clear()

    def _end(self, number: int) -> Stretch:
        stretch = self._open.pop(number)
        self._refine(stretch)
        return stretch


def _box(seen: Sighting) -> np.ndarray:
    left, top, width, height = seen.face.box
    return np.array([left, top, left + width, top + height])

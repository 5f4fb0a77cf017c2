"""Follow every face of a video, each from where it is found to where it is lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from talkhead.faces.appearance import Appearance
from talkhead.faces.detector import SIDES
from talkhead.faces.plausible import plausible
from talkhead.faces.regions import Region, region_of_points
from talkhead.faces.tracker import FaceTracker, Shot, is_far
from talkhead.structs import Face

if TYPE_CHECKING:
    from talkhead.faces.finder import FaceFinder


SMALLEST = 16  # pixels that a face must have of the picture that the detector sees


@dataclass(frozen=True, eq=False)
class Sighting:
    """A followed face in one frame.

    number: of the run of frames in which it was followed; a new one after a loss or a cut.
    face:   468 points or more. region: where the mesh looked for it.
    """

    number: int
    face: Face
    region: Region


@dataclass
class _Followed:
    """What is remembered of a face: where it was, how it looks, since when it looks strange."""

    face: Face
    person: Appearance
    strange: int = 0


class PeopleTracker:
    """Follows all faces of a video, without looking ahead, and searches it for new ones.

    Where `FaceTracker` keeps to one person through cuts and losses, here each of these ends a run:
    whoever wants runs that certainly show one person each takes them as they are.

    finder: where faces come from. least: height in pixels from which a face is followed.

    cut: whether a new shot begins with the last frame.
    """

    EVERY = 25  # frames between two searches while somebody is followed
    ALONE = 5  # ... and while nobody is
    APART = 0.5  # of a face's height: two that are nearer are one

    def __init__(self, finder: FaceFinder, least: float = 0.0) -> None:
        self._finder = finder
        self._least = least
        self._shot = Shot()
        self._followed: dict[int, _Followed] = {}
        self._count = 0
        self._since_search = math.inf
        self.cut = False

    def update(self, rgb: np.ndarray) -> list[Sighting]:
        """The faces of the next frame, rgb uint8 (H, W, 3)."""
        self.cut = self._shot.changed(rgb)
        if self.cut:
            self._followed.clear()
        before = len(self._followed)
        seen = self._follow(rgb)
        self._since_search += 1
        due = self._since_search >= (self.EVERY if seen else self.ALONE)
        if due or self.cut or len(seen) < before:
            seen += self._search(rgb, seen)
            self._since_search = 0
        return seen

    def _follow(self, rgb: np.ndarray) -> list[Sighting]:
        """Faces where they were, as they are now; the others are forgotten."""
        numbers = list(self._followed)
        regions = [region_of_points(each.face.points) for each in self._followed.values()]
        seen: list[Sighting] = []
        faces = self._finder.landmarker.look(rgb, regions)
        for number, region, face in zip(numbers, regions, faces, strict=True):
            goes_on = self._continues(rgb, self._followed[number], face)
            if goes_on and not self._is_known(face, seen):
                seen.append(Sighting(number, face, region))
            else:
                del self._followed[number]
        return seen

    def _continues(self, rgb: np.ndarray, followed: _Followed, face: Face) -> bool:
        """Whether a face is the followed one, by the rules of `FaceTracker`; if so, remember it."""
        if face.presence < FaceTracker.PRESENCE or not plausible(face.points):
            return False
        appearance = Appearance.of(rgb, face.points)
        distance = followed.person.distance(appearance)
        followed.strange = followed.strange + 1 if distance > FaceTracker.OTHER else 0
        hopped = is_far(face, followed.face, FaceTracker.STEP, FaceTracker.GROWTH)
        if (hopped and distance > FaceTracker.SAME) or followed.strange >= FaceTracker.STRANGE:
            return False
        followed.face = face
        followed.person = followed.person.blend(appearance, FaceTracker.BLEND)
        return face.height >= self._least

    def _search(self, rgb: np.ndarray, known: list[Sighting]) -> list[Sighting]:
        """Faces anywhere in the frame that are not followed yet."""
        new: list[Sighting] = []
        for side in self._sides(max(rgb.shape[:2])):
            regions = self._finder.propose(rgb, side)
            faces = self._finder.landmarker.look(rgb, regions)
            for region, face in zip(regions, faces, strict=True):
                sure = face.presence >= self._finder.PRESENCE and plausible(face.points)
                if sure and face.height >= self._least and not self._is_known(face, [*known, *new]):
                    self._count += 1
                    self._followed[self._count] = _Followed(face, Appearance.of(rgb, face.points))
                    new.append(Sighting(self._count, face, region))
        return new

    def _sides(self, length: int) -> list[int]:
        """At which sizes a frame of that length is searched, so that no face is too small."""
        sides = [side for side in SIDES if SMALLEST * length / side > self._least]
        return list(SIDES[: len(sides) + 1])

    def _is_known(self, face: Face, seen: list[Sighting]) -> bool:
        return any(
            math.dist(face.centre, other.face.centre)
            < self.APART * max(face.height, other.face.height)
            for other in seen
        )

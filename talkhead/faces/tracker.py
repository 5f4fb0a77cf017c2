"""Track a face through a video as one steady crop."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from talkhead.faces.appearance import Appearance
from talkhead.faces.choice import choose
from talkhead.faces.crop import shrink
from talkhead.faces.plausible import plausible
from talkhead.faces.regions import Region, region_of_points
from talkhead.structs import Face
from talkhead.topology import MESH_POINTS

if TYPE_CHECKING:
    from talkhead.faces.finder import FaceFinder

log = logging.getLogger(__name__)


class FaceTracker:
    """Follows one face through the frames of a video, without looking ahead.

    The detector is asked only at the start, at cuts and when the face is lost. Of several people
    the one that was chosen is kept, by place, size and appearance; where that leaves doubt, a
    warning says so once. Equal frames give equal faces, so a video can be walked through twice.

    finder: where faces come from; None: the bundled networks, on the CPU.
    face:   which person, counted from the left from 1 in the first frame that holds so many; None:
            the largest face, and whoever is largest after a cut to others.
    person: how the chosen person looks, where that is known from another frame.
    refine: look at lips, lids and irises as well, which takes three times as long.

    jumped: whether the last face does not continue the one before: after a cut, after a loss.
    lost, cuts: how many times the face was lost, and how many times the shot changed.
    """

    PRESENCE = 0.5  # of the mesh, from which a face is there
    SAME, OTHER = 1.2, 1.7  # appearances nearer are of one person, further apart of two
    STEP, GROWTH = 0.4, 1.35  # of a face between frames, in face heights, that need a second look
    STRANGE = 3  # frames that a face may look like someone else's before it counts as lost
    BLEND = 0.05  # share of each frame in what is remembered of the person's appearance
    HURRY, PATIENCE = 5, 5  # frames searched one by one after a loss; then every so many-th
    GIVE_UP = 25  # frames without the face after which, unless it was chosen, another is followed

    def __init__(
        self,
        finder: FaceFinder | None = None,
        face: int | None = None,
        person: Appearance | None = None,
        refine: bool = False,
    ) -> None:
        if finder is None:
            from talkhead.faces.finder import FaceFinder

            finder = FaceFinder()
        self._finder = finder
        self._number = face
        self._person = person
        self._refine = refine
        self._last: Face | None = None  # where the face was seen last, in this shot
        self._following = False
        self._missing = 0  # frames since then
        self._strange = 0
        self._shot = Shot()
        self._warned = False
        self.jumped = False
        self.lost = 0
        self.cuts = 0

    def update(self, rgb: np.ndarray) -> Face | None:
        """The face in the next frame, rgb uint8 (H, W, 3), or None where it is not there.

        It has 478 points when refined or searched for in the whole picture, else 468: without
        irises.
        """
        changed = self._shot.changed(rgb)
        if changed:
            self.cuts += 1
            self._last = None
        face = None
        if self._following and self._last is not None:
            face = self._follow(rgb, self._last)
        self.jumped = face is None
        due = changed or self._missing < self.HURRY or self._missing % self.PATIENCE == 0
        if face is None and due:
            face = self._search(rgb)
            if face is not None and self._refine and len(face.points) < MESH_POINTS:
                face = self._refined(rgb, region_of_points(face.points), face.presence)
        if face is None:
            self._lose()
        else:
            self._last, self._following, self._missing = face, True, 0
        return face

    def _lose(self) -> None:
        if self._following:
            self.lost += 1
            if self.lost == 1:
                log.warning("the driving face is lost; the portrait rests until it is seen again")
        self._following = False
        self._missing += 1

    def _follow(self, rgb: np.ndarray, last: Face) -> Face | None:
        """The face where it was, as it is now."""
        region = region_of_points(last.points)
        face = self._finder.landmarker.look(rgb, [region])[0]
        if face.presence < self.PRESENCE or not plausible(face.points):
            return None
        assert self._person is not None
        appearance = Appearance.of(rgb, face.points)
        distance = self._person.distance(appearance)
        self._strange = self._strange + 1 if distance > self.OTHER else 0
        hopped = is_far(face, last, self.STEP, self.GROWTH) and distance > self.SAME
        if hopped or self._strange >= self.STRANGE:
            self._strange = 0
            return None  # perhaps someone else's, who passed in front
        self._person = self._person.blend(appearance, self.BLEND)
        return self._refined(rgb, region, face.presence) if self._refine else face

    def _refined(self, rgb: np.ndarray, region: Region, presence: float) -> Face:
        return Face(self._finder.landmarker.refine([rgb], [region])[0], presence)

    def _search(self, rgb: np.ndarray) -> Face | None:
        """The person anywhere in the frame."""
        if self._person is None:
            faces = self._finder.find(rgb, every=self._number is not None)
            if len(faces) < (self._number or 1):
                return None
            chosen = choose(faces, self._number)
            self._person = Appearance.of(rgb, chosen.points)
            return chosen
        faces = self._near_and_far(rgb)
        if not faces:
            return None
        looks = [Appearance.of(rgb, face.points) for face in faces]
        distances = [self._person.distance(look) for look in looks]
        best = min(range(len(faces)), key=lambda i: distances[i] + self._way(faces[i]))
        if distances[best] > self.OTHER:
            if self._number is not None or (self._last and self._missing < self.GIVE_UP):
                self._doubt(
                    "the person followed so far is not among those seen; the portrait rests"
                )
                return None
            best = faces.index(choose(faces))
            self._person = looks[best]
        elif distances[best] > self.SAME and len(faces) > 1:
            self._doubt("it is not sure which of several people is the one followed so far")
        return faces[best]

    def _near_and_far(self, rgb: np.ndarray) -> list[Face]:
        """Faces of a quick look at the frame; of closer ones where none is the person's."""
        assert self._person is not None
        faces: list[Face] = []
        for side in (128, 256):
            looks = self._finder.landmarker.look(rgb, self._finder.propose(rgb, side))
            sure = [look for look in looks if look.presence >= self.PRESENCE]
            faces = [face for face in sure if plausible(face.points)] or faces
            known = [self._person.distance(Appearance.of(rgb, f.points)) for f in faces]
            if known and min(known) < self.SAME:
                return faces
        if not faces and self._missing % self.GIVE_UP == 0:
            return self._finder.find(rgb)  # small or lying heads
        return faces

    def _way(self, face: Face) -> float:
        """What speaks against a face far from where the person was, in units of appearance."""
        if self._last is None:
            return 0.0
        step = math.dist(face.centre, self._last.centre) / self._last.height
        growth = abs(math.log2(face.height / self._last.height))
        return 0.5 * min(step + growth, 2.0) / (1 + self._missing / self.GIVE_UP)

    def _doubt(self, what: str) -> None:
        if not self._warned:
            log.warning("%s (see --driving-face, --crop-driving)", what)
            self._warned = True


class Shot:
    """Notices scene cuts from thumbnails, and frames of another size."""

    SIDE = 160  # longer side of the grey copy, pixels
    LEAST = 22.0  # mean grey levels; heads that talk and turn change a thumbnail by 2 to 10
    TIMES = 4.0  # ... and this many times what was usual lately, for shaky cameras

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._size: tuple[int, ...] = ()
        self._usual = 0.0

    def changed(self, rgb: np.ndarray) -> bool:
        """Whether a new shot begins with this frame."""
        small, _ = shrink(rgb, self.SIDE)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        thumbnail = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, thumbnail
        known, self._size = self._size, rgb.shape
        if last is None:
            return False
        if known != rgb.shape:
            self._usual = 0.0
            return True
        change = float(np.abs(thumbnail - last).mean())
        if change > max(self.LEAST, self.TIMES * self._usual):
            self._usual = 0.0
            return True
        self._usual += 0.1 * (change - self._usual)
        return False


def is_far(face: Face, other: Face, step: float, growth: float) -> bool:
    """Whether two faces are further apart, or differ more in size, than one face between frames."""
    way = math.dist(face.centre, other.centre)
    sizes = face.height / other.height
    return way > step * other.height or not 1 / growth < sizes < growth

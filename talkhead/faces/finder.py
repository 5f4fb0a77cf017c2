"""Faces of still pictures: the detector proposes, the mesh confirms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from talkhead.faces.crop import shrink
from talkhead.faces.detector import BlazeFace, Detection, FaceDetector
from talkhead.faces.landmarker import Landmarker
from talkhead.faces.plausible import plausible
from talkhead.faces.regions import MARGIN, Region, region_of_points, whole_picture
from talkhead.structs import Face

QUARTER = math.pi / 2


def find_faces(picture: np.ndarray, device: str = "cpu") -> list[Face]:
    """All faces of rgb uint8 (H, W, 3), the largest first; an empty list when there is none.

    For many pictures make one `FaceFinder`: it keeps its networks.
    """
    return FaceFinder(device).find(picture, every=True)


@dataclass(frozen=True)
class Pass:
    """One way to look at a picture.

    side: of the squares that the detector sees, pixels; angles: by which they are turned, radians;
    presence: least of a mesh that confirms what the detector is sure of; unsure: how many proposals
    without a clear mesh, the surest ones, the detector is asked about again, closer.
    """

    side: int
    angles: tuple[float, ...] = (0.0,)
    presence: float = 0.95
    unsure: int = 1


class FaceFinder:
    """Finds the faces of pictures, at several scales and turns; loads its networks on first use.

    Faces down to a sixteenth of the picture are found, tilted, lying and hanging ones too. Holds no
    state between pictures.

    device: where the networks run.
    """

    name = "mesh"  # in reports
    LARGEST = 1024  # longer side of the copy that is searched
    LEAST_SCORE, SURE = 0.3, 0.5  # of a proposal of the detector; the mesh decides
    LOOKS = 6  # at proposals of a pass, the surest; at all of which the detector is sure
    PRESENCE = Pass.presence  # of a mesh that confirms an unsure or turned one
    UNSURE = 0.5  # presence below which the detector is asked again, closer
    LONG = 2.5  # sides of a picture whose ratio is larger are searched square by square
    MOST_SQUARES = 24
    MOST_PIXELS = 24 * 128**2  # that the detector sees in one pass: 0.1 s of one core
    PASSES: tuple[Pass, ...] = (
        Pass(128, presence=0.8, unsure=3),
        Pass(256),  # small faces
        Pass(128, (QUARTER, -QUARTER, math.pi)),  # heads that lie or hang
        Pass(512),  # smaller ones
    )
    LEVEL = math.radians(8)  # roll that a face may have in its region
    SETTLING = 3  # looks at most until it is level
    AGAIN = 2.2  # side of the region that is searched again for an unsure face, in boxes

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.landmarker = Landmarker(device)

    @cached_property
    def _detector(self) -> FaceDetector:
        return FaceDetector(BlazeFace.load(self.device))

    def find(self, rgb: np.ndarray, every: bool = False) -> list[Face]:
        """Faces of rgb uint8 (H, W, 3), the largest first; an empty list when there is none.

        every: make all passes, so that small faces beside large ones are found, too; else those
        end with the first that finds a face.
        """
        if min(rgb.shape[:2]) < 8:
            return []
        small, factor = shrink(rgb, self.LARGEST * _length(rgb))
        known: list[_Confirmed] = []
        for way in self.PASSES:
            known += self._search(small, way, known)
            if known and not every:
                break
        fine = self.landmarker.refine(
            [rgb] * len(known), [each.region.scaled(1 / factor) for each in known]
        )
        faces = [Face(points, each.presence) for points, each in zip(fine, known, strict=True)]
        return sorted(faces, key=lambda face: face.height, reverse=True)

    def propose(self, rgb: np.ndarray, side: int = 128) -> list[Region]:
        """Where faces may be, by one quick look at the whole of rgb uint8 (H, W, 3)."""
        boxes = self._detect(rgb, [whole_picture(rgb)], side, 0.5)
        return [_region_of(box) for box in _without_doubles(boxes)]

    def _search(self, rgb: np.ndarray, way: Pass, known: Sequence[_Confirmed]) -> list[_Confirmed]:
        """Faces of one pass that are not known yet."""
        squares = _squares(rgb, self.LONG, self.MOST_SQUARES)
        turned = [replace(square, angle=angle) for square in squares for angle in way.angles]
        enlarged = way.side > max(128, 1.5 * squares[0].side)  # which shows nothing more
        if enlarged or len(turned) * way.side**2 > self.MOST_PIXELS:
            return []
        boxes = _without_doubles(self._detect(rgb, turned, way.side, self.LEAST_SCORE))
        sure = sum(box.score >= self.SURE for box in boxes)
        boxes = boxes[: max(sure, self.LOOKS)]
        found: list[_Confirmed] = []
        unsure = 0
        for box, look in zip(
            boxes, self.landmarker.look(rgb, [_region_of(box) for box in boxes]), strict=True
        ):
            unsure += look.presence < self.UNSURE
            if look.presence < self.UNSURE and unsure > way.unsure:
                continue
            others = [*known, *found]
            confirmed = self._confirm(rgb, box, look, way, others)
            if confirmed and not any(_same(confirmed.region, each.region) for each in others):
                found.append(confirmed)  # a turned one may be known by now
        return found

    def _confirm(
        self,
        rgb: np.ndarray,
        box: Detection,
        look: Face,
        way: Pass,
        known: Sequence[_Confirmed],
    ) -> _Confirmed | None:
        """Look closer, at all quarter turns.

        The detector takes hanging heads for upright ones, and the mesh believes it.
        """
        region, least = _region_of(box), way.presence if box.score >= self.SURE else self.PRESENCE
        if look.presence < self.UNSURE:
            closer = self._closer(rgb, box)
            if closer is None:
                return None
            region = closer
            look = self.landmarker.look(rgb, [region])[0]
        seen = region_of_points(look.points)
        if look.presence < least or any(_same(seen, each.region) for each in known):
            return None
        turns = [replace(seen, angle=seen.angle + k * QUARTER) for k in range(4)]
        looks = self.landmarker.look(rgb, turns)
        best = max(range(4), key=lambda k: looks[k].presence)
        least = max(least, self.PRESENCE) if best else least
        if looks[best].presence < least or not plausible(looks[best].points):
            return None
        # An upright face is read where the detector saw it, as MediaPipe reads stills.
        if not best and _angle_between(region, region_of_points(looks[0].points)) < self.LEVEL:
            return _Confirmed(region, looks[0].presence)
        return self._settle(rgb, looks[best])

    def _closer(self, rgb: np.ndarray, box: Detection) -> Region | None:
        """Where the detector sees the face of a box when it looks at little more than that."""
        around = Region(box.x, box.y, self.AGAIN * max(box.width, box.height), box.roll)
        again = self._detect(rgb, [around], 128, self.LEAST_SCORE)
        return _region_of(again[0]) if again else None

    def _settle(self, rgb: np.ndarray, look: Face) -> _Confirmed:
        """Look again until the face is level in its region: the mesh reads lying heads badly."""
        region = region_of_points(look.points)
        for _ in range(self.SETTLING):
            before = region
            look = self.landmarker.look(rgb, [before])[0]
            region = region_of_points(look.points)
            if _angle_between(before, region) < self.LEVEL:
                break
        return _Confirmed(region, look.presence)

    def _detect(
        self, rgb: np.ndarray, regions: Sequence[Region], side: int, least: float
    ) -> list[Detection]:
        """What the detector sees in regions of a picture, in pixels of that picture."""
        squares = np.stack([r.cut(rgb, side, cv2.BORDER_CONSTANT) for r in regions])
        found = []
        for region, boxes in zip(regions, self._detector.find(squares, least), strict=True):
            scale = region.side / side
            for box in boxes:
                x, y = region.to_picture(np.array([box.x, box.y]), side)
                found.append(
                    Detection(
                        *(float(x), float(y), box.width * scale, box.height * scale),
                        *(box.roll + region.angle, box.score),
                    )
                )
        return found


@dataclass(frozen=True)
class _Confirmed:
    """A face of which the mesh is sure: where to look at it, and how sure."""

    region: Region
    presence: float


def _length(rgb: np.ndarray) -> float:
    """The longer side over the shorter one, less what a usual picture has: 1 or more."""
    height, width = rgb.shape[:2]
    return max(1.0, max(height, width) / min(height, width) / FaceFinder.LONG)


def _squares(rgb: np.ndarray, long: float, most: int) -> list[Region]:
    """The squares that are searched: all of the picture in one, or a row along a very long one."""
    height, width = rgb.shape[:2]
    side, length = min(height, width), max(height, width)
    if length <= long * side:
        return [whole_picture(rgb)]
    count = min(math.ceil(1.5 * length / side), most)
    side = max(side, 1.5 * length / count)
    middles = np.linspace(side / 2, length - side / 2, count).tolist()
    if width > height:
        return [Region(middle, height / 2, side) for middle in middles]
    return [Region(width / 2, middle, side) for middle in middles]


def _region_of(box: Detection) -> Region:
    return Region(box.x, box.y, MARGIN * max(box.width, box.height), box.roll)


def _same(a: Region, b: Region) -> bool:
    """Whether two regions show one face: their centres are close, for their size."""
    return math.hypot(a.x - b.x, a.y - b.y) < 0.3 * max(a.side, b.side)


def _angle_between(a: Region, b: Region) -> float:
    """Radians, 0 to pi."""
    return abs(math.remainder(a.angle - b.angle, 2 * math.pi))


def _without_doubles(boxes: Sequence[Detection]) -> list[Detection]:
    """The surest of each set that mean one face."""
    kept: list[Detection] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if not any(_same(_region_of(box), _region_of(other)) for other in kept):
            kept.append(box)
    return kept

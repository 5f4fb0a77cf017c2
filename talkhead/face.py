"""Find faces in a picture, choose one, and frame it as the networks were trained.

The one door to the face detectors. Boxes are in frame pixels: x = 0 is the left edge of the first
pixel, whose centre is at 0.5.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from talkhead.crop import centre_square
from talkhead.errors import TalkheadError
from talkhead.structs import Crop

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Face:
    """A face found in a frame: its box in pixels, and which detector found it.

    score: 0..1, surer when higher, comparable only within one detector; None where it has none.
    """

    x: float
    y: float
    width: float
    height: float
    detector: str
    score: float | None = None

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


class NoFaceError(TalkheadError):
    """No face where one is needed."""


# The weights files of face-alignment's detectors, as it names them in torch's hub folder. Best
# first: YuNet costs least per picture on a CPU, S3FD finds most.
_WEIGHTS = {
    "yunet": ["face_detection_yunet_2023mar.onnx"],
    "sfd": ["s3fd-619a316812.pth"],
    "blazeface": ["blazeface.pth", "anchors.npy"],
}
Detector = Literal["auto", "yunet", "sfd", "blazeface", "lbp", "centre"]
_FIND_SIDE = 480  # longer side of the copy that the learned detectors look at, in pixels


class FaceFinder:
    """Finds faces with the best detector that works offline: yunet, sfd or blazeface when their
    weights lie on disk, else scikit-image's LBP cascade, whose file comes with the library.

    Nothing is ever downloaded. A detector can be asked for by name; "centre" takes the centre
    square of every picture for a face. Built on first use; holds no state between pictures.
    """

    def __init__(self, detector: Detector = "auto", device: str = "cpu") -> None:
        self._wish = detector
        self._device = device

    @cached_property
    def detector(self) -> str:
        """The name of the detector in use. Raises TalkheadError when its weights are missing."""
        if self._wish in ("lbp", "centre"):
            return self._wish
        names = list(_WEIGHTS) if self._wish == "auto" else [self._wish]
        for name in names:
            if all(path.is_file() for path in _weights(name)):
                return name
        if self._wish != "auto":
            files = " and ".join(str(path) for path in _weights(self._wish))
            raise TalkheadError(
                f"the face detector {self._wish} needs {files}, which is not there; "
                "put it there or use --detector lbp"
            )
        return "lbp"

    def find(self, rgb: np.ndarray, near: Crop | None = None) -> list[Face]:
        """Faces of rgb uint8 (H, W, 3), the largest first; an empty list when there is none.

        near: the crop that framed a face a moment ago. Only a region of twice its side is searched,
        for a face of about that size, which takes a tenth of the time.
        """
        if self.detector == "centre":
            return [_centre_face(rgb)]
        left, top, region = 0, 0, rgb
        if near is not None:
            left, top, region = _around(rgb, near)
        if min(region.shape[:2]) < 16:
            return []
        if self.detector == "lbp":
            faces = self._cascade.find(region, _Cascade.NEAR if near else _Cascade.PASSES)
        else:
            faces = self._find_learned(region)
        faces = [replace(face, x=face.x + left, y=face.y + top) for face in faces]
        return sorted(faces, key=_prominence, reverse=True)

    @cached_property
    def _cascade(self) -> _Cascade:
        log.info("finding faces with the LBP cascade of scikit-image")
        return _Cascade()

    @cached_property
    def _learned(self) -> Any:
        log.info("finding faces with the %s detector of face-alignment", self.detector)
        files = [str(path) for path in _weights(self.detector)]
        try:
            return _build_learned(self.detector, self._device, files)
        except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError, cv2.error) as error:
            raise TalkheadError(
                f"the weights of the face detector {self.detector} cannot be read "
                f"({' and '.join(files)}); delete them or use --detector lbp"
            ) from error

    def _find_learned(self, rgb: np.ndarray) -> list[Face]:
        small, factor = shrink(rgb, _FIND_SIDE)
        faces = []
        for *box, score in self._learned.detect_from_image(small):
            x, y, right, bottom = (float(v) / factor for v in box)
            faces.append(Face(x, y, right - x, bottom - y, self.detector, float(score)))
        return faces


def _build_learned(name: str, device: str, files: list[str]) -> Any:
    """One of face-alignment's detectors alone. Given its files, it does not download any."""
    if name == "yunet":
        from face_alignment.detection.yunet.yunet_detector import YuNetDetector

        return YuNetDetector("cpu", *files)
    if name == "sfd":
        from face_alignment.detection.sfd.sfd_detector import SFDDetector

        return SFDDetector(device, *files)
    from face_alignment.detection.blazeface.blazeface_detector import BlazeFaceDetector

    return BlazeFaceDetector(device, False, *files)


def _weights(name: str) -> list[Path]:
    """Where face-alignment keeps a detector's weights."""
    from torch import hub

    return [Path(hub.get_dir()) / "checkpoints" / file for file in _WEIGHTS[name]]


def shrink(picture: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """A copy whose longer side is at most `side`, and its size relative to the original."""
    height, width = picture.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), factor


def _around(rgb: np.ndarray, crop: Crop) -> tuple[int, int, np.ndarray]:
    """Left, top and pixels of the region of twice the crop's side around it, within the frame."""
    left, top = max(round(crop.x - crop.side / 2), 0), max(round(crop.y - crop.side / 2), 0)
    right, bottom = round(crop.x + 1.5 * crop.side), round(crop.y + 1.5 * crop.side)
    return left, top, rgb[top : max(bottom, 0), left : max(right, 0)]


def _centre_face(rgb: np.ndarray) -> Face:
    square = centre_square(rgb.shape[1], rgb.shape[0])
    return Face(square.x, square.y, square.side, square.side, "centre")


_VIEW_SIDE, _VIEW_BOX = 72, 36  # pixels: a view of a candidate, and its box within


@dataclass(frozen=True)
class _Pass:
    """One way to go through a picture.

    side: longer side of the copy in pixels; angles: degrees by which it is turned; step, smallest:
    of the search window, in pixels; contrast: evened out locally, and with room at the borders.
    """

    side: int
    angles: tuple[int, ...]
    step: float = 1.0
    smallest: int = 24
    contrast: bool = False


class _Cascade:
    """scikit-image's LBP frontal cascade, made to count.

    The cascade fires on much that is no face and says not how sure it is. So every place where it
    fires is looked at again, small, slightly turned and mirrored: a face is found in most of these
    views, a chance pattern in few. The mean of all hits is also a steadier box than any one hit.
    """

    SURE = 0.6  # score from which no further pass is made
    PASSES = (
        _Pass(side=384, angles=(0,)),
        _Pass(side=384, angles=(0,), contrast=True),  # shadows; a face that fills the picture
        _Pass(side=384, angles=(-22, 22)),  # tilted heads
        _Pass(side=960, angles=(0,), step=1.3),  # small faces in large pictures
    )
    # Where a face is expected: it takes some 45 of 160 pixels there.
    NEAR = (
        _Pass(side=160, angles=(0,), smallest=30),
        _Pass(side=160, angles=(-22, 22), smallest=30),
    )

    def __init__(self) -> None:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade

        self._cascade = Cascade(lbp_frontal_face_cascade_filename())

    def find(self, rgb: np.ndarray, passes: tuple[_Pass, ...] = PASSES) -> list[Face]:
        """All faces of the passes up to the first that is sure of one, in no order."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        found: list[Face] = []
        for way in passes:
            small, factor = shrink(grey, way.side)
            room = 0
            if way.contrast:
                room = max(small.shape) // 6
                small = cv2.createCLAHE(2.0, (4, 4)).apply(
                    cv2.copyMakeBorder(small, room, room, room, room, cv2.BORDER_REPLICATE)
                )
            for angle in way.angles:
                for face in self._search(small, angle, way):
                    inside = replace(face, x=face.x - room, y=face.y - room)
                    found.append(_scale_face(inside, 1 / factor))
            if any((face.score or 0) >= self.SURE for face in found):
                break
        return _without_doubles(found)

    def _search(self, grey: np.ndarray, angle: float, way: _Pass) -> list[Face]:
        """Faces that are upright once the picture is turned by `angle`."""
        height, width = grey.shape
        centre = (width / 2, height / 2)
        turned = grey if angle == 0 else _view(grey, centre, 1.0, angle, False, (width, height))
        faces = []
        for group in _groups(self._hits(turned, way.smallest, min(height, width), way.step)):
            x, y, size = group.mean(axis=0)
            x, y = _turn_back(x - centre[0], y - centre[1], angle) + centre
            face = self._look_again(grey, x, y, size, angle)
            if face is not None:
                faces.append(face)
        return faces

    def _look_again(
        self, grey: np.ndarray, x: float, y: float, size: float, angle: float
    ) -> Face | None:
        """Count the hits near a candidate over six views of it."""
        zoom = _VIEW_BOX / size
        found = []
        for turn in (0, -12, 12):
            for mirror in (False, True):
                view = _view(grey, (x, y), zoom, angle + turn, mirror, (_VIEW_SIDE, _VIEW_SIDE))
                offsets = self._hits(view, 26, 54) - (_VIEW_SIDE / 2, _VIEW_SIDE / 2, 0)
                if mirror:
                    offsets[:, 0] *= -1
                for dx, dy, hit_size in offsets / zoom:
                    if math.hypot(dx, dy) < 0.35 * size:
                        found.append((*_turn_back(dx, dy, angle + turn), hit_size))
        enough = _enough_hits(size / max(grey.shape))
        if len(found) < enough:
            return None
        dx, dy, mean = np.mean(found, axis=0)
        score = len(found) / (len(found) + enough)
        return Face(x + dx - mean / 2, y + dy - mean / 2, mean, mean, "lbp", score)

    def _hits(self, grey: np.ndarray, smallest: int, largest: int, step: float = 1.0) -> np.ndarray:
        """Every window that the cascade accepts, (N, 3): centre x, centre y, size."""
        hits = self._cascade.detect_multi_scale(
            img=grey,
            scale_factor=1.2,
            step_ratio=step,
            min_size=(smallest, smallest),
            max_size=(largest, largest),
            min_neighbor_number=1,
            intersection_score_threshold=0.999,  # merge nothing; that is done here
        )
        rows = [(h["c"] + h["width"] / 2, h["r"] + h["width"] / 2, h["width"]) for h in hits]
        return np.array(rows, dtype=float).reshape(-1, 3)


def _enough_hits(share: float) -> float:
    """Hits over all views from which a candidate counts as a face, given its share of the picture.

    On 584 pictures of one face each the right candidates had a median of 17 hits, the wrong ones
    of 1, and 95 % of the wrong under 6. A picture has far more small places than large ones where
    chance can strike, so small candidates need more.
    """
    return min(max(6 * math.sqrt(0.2 / share), 3.5), 12)


def _view(
    grey: np.ndarray,
    centre: tuple[float, float],
    zoom: float,
    angle: float,
    mirror: bool,
    size: tuple[int, int],
) -> np.ndarray:
    """A view of `size` (width, height) around `centre`, turned by `angle` degrees."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    matrix = zoom * np.array([[cosine, -sine], [sine, cosine]])
    if mirror:
        matrix[0] *= -1
    # cv2 counts from pixel centres, hence the halves.
    shift = (np.array(size) - 1) / 2 - matrix @ (np.array(centre) - 0.5)
    return cv2.warpAffine(
        grey, np.column_stack([matrix, shift]), size, borderMode=cv2.BORDER_REPLICATE
    )


def _turn_back(dx: float, dy: float, angle: float) -> np.ndarray:
    """An offset within a turned view as an offset in the picture."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array([cosine * dx + sine * dy, -sine * dx + cosine * dy])


def _groups(hits: np.ndarray) -> list[np.ndarray]:
    """Hits (N, 3) that mean one face: centres within a third of the size, sizes within 1.5."""
    groups: list[list[np.ndarray]] = []
    for hit in hits:
        for group in groups:
            x, y, size = np.mean(group, axis=0)
            near = math.hypot(hit[0] - x, hit[1] - y) < 0.33 * size
            if near and 1 / 1.5 < hit[2] / size < 1.5:
                group.append(hit)
                break
        else:
            groups.append([hit])
    return [np.array(group) for group in groups]


def _without_doubles(faces: list[Face]) -> list[Face]:
    """The surest of every set of overlapping faces."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score or 0, reverse=True):
        if all(_distance(face, other) > 0.6 for other in kept):
            kept.append(face)
    return kept


def _distance(face: Face, other: Face) -> float:
    """Between the centres, in units of the larger face's mean side."""
    size = max(face.width + face.height, other.width + other.height) / 2
    return math.dist(face.centre, other.centre) / size


def _scale_face(face: Face, factor: float) -> Face:
    x, y, width, height = (v * factor for v in (face.x, face.y, face.width, face.height))
    return replace(face, x=x, y=y, width=width, height=height)


def _prominence(face: Face) -> float:
    """What the largest face has most of: area, less where it is unsure that it is a face."""
    return face.width * face.height * (1.0 if face.score is None else face.score)


def choose(faces: list[Face], index: int | None = None) -> Face:
    """The largest face, or number `index` counted from left to right from 1.

    Raises NoFaceError when there is none, TalkheadError when there are fewer than `index`.
    """
    if not faces:
        raise NoFaceError("no face found; say where it is with a crop x,y,size")
    if index is None:
        return max(faces, key=_prominence)
    ordered = sorted(faces, key=lambda face: face.centre[0])
    if not 1 <= index <= len(ordered):
        places = ", ".join(
            f"{i} at ({face.centre[0]:.0f}, {face.centre[1]:.0f})"
            for i, face in enumerate(ordered, 1)
        )
        raise TalkheadError(
            f"there is no face {index}: {len(ordered)} found, from left to right {places}; "
            "choose one of these with --face, or give a crop x,y,size"
        )
    return ordered[index - 1]


class Finder(Protocol):
    """What finds faces: `FaceFinder`, or anything with its `find`."""

    def find(self, rgb: np.ndarray, near: Crop | None = None) -> list[Face]: ...


def find_face(rgb: np.ndarray, finder: Finder, index: int | None = None) -> Face:
    """The face of a still picture; where none is found, its centre square, with a warning."""
    faces = finder.find(rgb)
    if not faces and index is None:
        log.warning("no face found in the picture: using its centre square; or say --crop-source")
        return _centre_face(rgb)
    return choose(faces, index)


# What the networks were trained on: the face mesh (top of the forehead to chin) takes 0.55 of the
# crop's side, 0.66 at most where the picture ends early, and its centre lies at 0.52 of the height.
FACE_SHARE, FACE_SHARE_MAX, FACE_CENTRE = 0.55, 0.66, 0.52
# How far a crop is shifted, as a share of its side, rather than let it stick out of the frame.
_LARGEST_SHIFT = 0.08

# Per detector: height of the face mesh over the box height, and how far the mesh centre lies below
# the box centre, over the box height. lbp: medians over 551 pictures with a recorded face mesh (323
# portraits, 228 frames of 85 clips); the height varies by 12 % of the box (one standard deviation),
# the centre by 8 % sideways (turned heads) and 4 % up and down. The others are not fitted, for want
# of their weights: yunet and sfd were trained on WIDER FACE, whose boxes run from forehead to chin
# like the mesh; BlazeFace's begin at the brows.
_BOX_TO_MESH = {
    "lbp": (1.0, 0.05),
    "yunet": (1.0, 0.0),
    "sfd": (1.0, 0.0),
    "blazeface": (1.3, -0.05),
}


def face_crop(face: Face, frame_width: int, frame_height: int) -> Crop:
    """The crop around a face that frames it as the networks were trained, in whole pixels.

    It becomes tighter, then moves a little, to stay within the frame; the rest may stick out.
    """
    if face.detector == "centre":
        return Crop(face.x, face.y, face.width)
    stretch, below = _BOX_TO_MESH[face.detector]
    mesh = stretch * face.height
    side = max(min(mesh / FACE_SHARE, frame_width, frame_height), mesh / FACE_SHARE_MAX)
    x, y = face.centre
    left = _pull_inside(x - side / 2, side, frame_width)
    top = _pull_inside(y + below * face.height - FACE_CENTRE * side, side, frame_height)
    return Crop(round(left), round(top), round(side))


def _pull_inside(start: float, side: float, length: int) -> float:
    """Shift the span [start, start + side] towards [0, length], by a limited amount."""
    inside = min(max(start, 0.0), length - side) if side <= length else (length - side) / 2
    limit = _LARGEST_SHIFT * side
    return start + min(max(inside - start, -limit), limit)

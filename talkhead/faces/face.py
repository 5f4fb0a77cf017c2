"""Find faces in an image, choose one, and frame it as the networks were trained.

The one door to the face detectors. Boxes are in frame pixels: x = 0 is the left edge of the first
pixel, whose centre is at 0.5.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from talkhead.errors import TalkheadError
from talkhead.faces.cascade import Cascade, shrink
from talkhead.faces.crop import centre_square
from talkhead.structs import Crop, Face

log = logging.getLogger(__name__)


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

    device: where sfd and blazeface run if it is "cuda" or "cuda:N"; all else is the CPU's.
    """

    def __init__(self, detector: Detector = "auto", device: str = "cpu") -> None:
        self._wish = detector
        self._device = device if device.startswith("cuda") else "cpu"

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
            faces = self._cascade.find(region, Cascade.NEAR if near else Cascade.PASSES)
        else:
            faces = self._find_learned(region)
        faces = [replace(face, x=face.x + left, y=face.y + top) for face in faces]
        return sorted(faces, key=_prominence, reverse=True)

    @cached_property
    def _cascade(self) -> Cascade:
        log.info("finding faces with the LBP cascade of scikit-image")
        return Cascade()

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


def _around(rgb: np.ndarray, crop: Crop) -> tuple[int, int, np.ndarray]:
    """Left, top and pixels of the region of twice the crop's side around it, within the frame."""
    left, top = max(round(crop.x - crop.side / 2), 0), max(round(crop.y - crop.side / 2), 0)
    right, bottom = round(crop.x + 1.5 * crop.side), round(crop.y + 1.5 * crop.side)
    return left, top, rgb[top : max(bottom, 0), left : max(right, 0)]


def _centre_face(rgb: np.ndarray) -> Face:
    square = centre_square(rgb.shape[1], rgb.shape[0])
    return Face(square.x, square.y, square.side, square.side, "centre")


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
            "choose one of these, or give a crop x,y,size"
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

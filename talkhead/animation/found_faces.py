"""The faces that a person can choose from, and the crop that each choice means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkhead.animation.driving import open_driving
from talkhead.animation.portrait import read_photo
from talkhead.animation.settings import RenderSettings
from talkhead.faces.crop import centre_square
from talkhead.faces.face import FaceFinder, choose, face_crop
from talkhead.faces.tracker import Tracker
from talkhead.structs import Crop, Face

EVERY = 5  # of the first frames of a video these are searched, as `Tracker` does


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """The faces of a picture, from left to right, as `RenderSettings.face` counts them from 1.

    picture: rgb uint8 (H, W, 3). crops: of each face. chosen: the number of the face that is
    taken where nobody chooses; None where there is no face, and `crops` holds the centred square.
    """

    picture: np.ndarray
    faces: tuple[Face, ...]
    crops: tuple[Crop, ...]
    chosen: int | None


def faces_of_portrait(path: Path, settings: RenderSettings, device: str = "cpu") -> FoundFaces:
    """The faces of a photo or of a video's first frame. Raises TalkheadError."""
    photo = read_photo(path)
    return _found(photo, FaceFinder(settings.detector, device).find(photo))


def faces_of_driving(path: Path, settings: RenderSettings, device: str = "cpu") -> FoundFaces:
    """The faces of the first frame that has any, of those that a render begins with."""
    finder = FaceFinder(settings.detector, device)
    numbers = range(0, Tracker.START_FRAMES, EVERY)
    first: np.ndarray | None = None
    with open_driving(path, settings) as reader:
        for frame in reader.pick(numbers):
            if faces := finder.find(frame.rgb):
                return _found(frame.rgb, faces)
            first = frame.rgb if first is None else first
    assert first is not None  # a selection without frames is an error of the reader
    return _found(first, [])


def _found(picture: np.ndarray, faces: list[Face]) -> FoundFaces:
    height, width = picture.shape[:2]
    if not faces:
        return FoundFaces(picture, (), (centre_square(width, height),), None)
    ordered = sorted(faces, key=lambda face: face.centre[0])
    crops = tuple(face_crop(face, width, height) for face in ordered)
    return FoundFaces(picture, tuple(ordered), crops, ordered.index(choose(faces)) + 1)

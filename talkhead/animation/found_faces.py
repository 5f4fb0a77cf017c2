"""The faces that a person can choose from, and the crop that each choice means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkhead.animation.driving import open_driving
from talkhead.animation.portrait import read_photo, warn_if_small
from talkhead.animation.settings import RenderSettings
from talkhead.faces.choice import choose
from talkhead.faces.crop import centre_square
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import face_crop, upright_crop
from talkhead.structs import Crop, Face

SEARCHED = range(0, 250, 25)  # frames of a driving video, until one has a face


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


def faces_of_portrait(path: Path, _: RenderSettings, finder: FaceFinder) -> FoundFaces:
    """The faces of a photo or of a video's first frame. Raises TalkheadError."""
    photo = read_photo(path)
    found = _found(photo, finder.find(photo, every=True), upright_crop)
    if found.chosen is not None:
        warn_if_small(found.faces[found.chosen - 1], path.name)
    return found


def faces_of_driving(path: Path, settings: RenderSettings, finder: FaceFinder) -> FoundFaces:
    """The faces of the first driving frame that has any. Raises TalkheadError."""
    first: np.ndarray | None = None
    with open_driving(path, settings) as reader:
        for frame in reader.pick(SEARCHED):
            if faces := finder.find(frame.rgb, every=True):
                return _found(frame.rgb, faces, face_crop)
            first = frame.rgb if first is None else first
    assert first is not None  # a selection without frames is an error of the reader
    return _found(first, [], face_crop)


def _found(
    picture: np.ndarray, faces: list[Face], crop: Callable[[Face, int, int], Crop]
) -> FoundFaces:
    height, width = picture.shape[:2]
    if not faces:
        return FoundFaces(picture, (), (centre_square(width, height),), None)
    ordered = sorted(faces, key=lambda face: face.centre[0])
    crops = tuple(crop(face, width, height) for face in ordered)
    return FoundFaces(picture, tuple(ordered), crops, ordered.index(choose(faces)) + 1)

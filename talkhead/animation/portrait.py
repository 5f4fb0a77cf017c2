"""The source portrait: read, cropped and encoded."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkhead.animation.settings import RenderSettings
from talkhead.faces.choice import choose
from talkhead.faces.crop import centre_square, cut, parse_crop
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import upright_crop
from talkhead.inference.engine import EncodedSource, Engine
from talkhead.io.image import is_picture, read_image
from talkhead.structs import Crop, Face
from talkhead.video import VideoReader
from talkhead.video.media import VIDEO_SUFFIXES

log = logging.getLogger(__name__)

SMALL = 48  # pixels of a face's height under which the result is told to be blurred


@dataclass(frozen=True)
class Portrait:
    """A portrait: the photo, where the face is in it and who found it, and the encoded crop.

    points: of the face's mesh (478, 3) in pixels of the photo; None where nobody looked.
    detector: "mesh" (the bundled networks), another's name, "centre" (nobody looked or nobody was
    found), or "user".
    """

    path: Path
    photo: np.ndarray
    crop: Crop
    detector: str
    encoded: EncodedSource
    points: np.ndarray | None = None


def load_portrait(
    path: Path, engine: Engine, settings: RenderSettings, finder: FaceFinder
) -> Portrait:
    """Read a photo (or the first frame of a video), find the face, encode it."""
    photo = read_photo(path)
    wish = parse_crop(settings.crop_source)
    detector, points = "user", None
    if isinstance(wish, Crop):
        crop = wish
    elif wish == "none" or settings.detector == "centre":
        crop = centre_square(photo.shape[1], photo.shape[0])
        detector = "user" if wish == "none" else "centre"
    else:
        crop, detector, points = find_crop(photo, path.name, finder, settings.face)
    log.info("%s: face by %s at %s", path.name, detector, crop)
    encoded = engine.encode(cut(photo, crop, engine.image_size), settings.sharpness)
    return Portrait(path, photo, crop, detector, encoded, points)


def read_photo(path: Path) -> np.ndarray:
    """A picture, or the first frame of a video, as rgb uint8 (H, W, 3)."""
    if path.suffix.lower() in VIDEO_SUFFIXES and not is_picture(path):
        with VideoReader(path, frames=1) as reader:
            return next(iter(reader)).rgb
    return read_image(path)


def find_crop(
    photo: np.ndarray, name: str, finder: FaceFinder, number: int | None
) -> tuple[Crop, str, np.ndarray | None]:
    """The crop around the face of a photo, what found it, and the points of its mesh.

    Without a face it is the centred square, with a warning; TalkheadError where face `number` was
    asked for.
    """
    height, width = photo.shape[:2]
    faces = finder.find(photo, every=number is not None)
    if not faces and number is None:
        log.warning("no face found in %s: using its centre square; or say --crop-source", name)
        return centre_square(width, height), "centre", None
    face = choose(faces, number)
    crop = upright_crop(face, width, height)
    warn_if_small(face, name)
    if crop.angle:
        log.info("the head in %s lies by %.0f degrees; it is turned upright", name, face.roll)
    return crop, finder.name, face.points


def warn_if_small(face: Face, name: str) -> None:
    """Warn that a face of the photo `name` has too few pixels for a sharp result."""
    if face.height < SMALL:
        log.warning(
            "the face in %s is only %.0f pixels high: the result will be blurred",
            *(name, face.height),
        )

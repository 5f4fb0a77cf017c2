"""The source portrait: read, cropped and encoded."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkhead.animation.settings import RenderSettings
from talkhead.faces.crop import centre_square, cut, parse_crop
from talkhead.faces.face import FaceFinder, face_crop, find_face
from talkhead.inference.engine import EncodedSource, Engine
from talkhead.io.image import is_picture, read_image
from talkhead.structs import Crop
from talkhead.video import VideoReader
from talkhead.video.media import VIDEO_SUFFIXES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Portrait:
    """A portrait: the photo, where the face is in it and who found it, and the encoded crop."""

    path: Path
    photo: np.ndarray
    crop: Crop
    detector: str
    encoded: EncodedSource


def load_portrait(path: Path, engine: Engine, settings: RenderSettings) -> Portrait:
    """Read a photo (or the first frame of a video), find the face, encode it."""
    photo = read_photo(path)
    height, width = photo.shape[:2]
    crop = parse_crop(settings.crop_source)
    detector = "user"
    if crop == "auto":
        face = find_face(photo, FaceFinder(settings.detector, str(engine.device)), settings.face)
        crop, detector = face_crop(face, width, height), face.detector
    elif crop == "none":
        crop = centre_square(width, height)
    log.info("%s: face by %s at %s", path.name, detector, crop)
    encoded = engine.encode(cut(photo, crop, engine.image_size))
    return Portrait(path, photo, crop, detector, encoded)


def read_photo(path: Path) -> np.ndarray:
    """A picture, or the first frame of a video, as rgb uint8 (H, W, 3)."""
    if path.suffix.lower() in VIDEO_SUFFIXES and not is_picture(path):
        with VideoReader(path, frames=1) as reader:
            return next(iter(reader)).rgb
    return read_image(path)

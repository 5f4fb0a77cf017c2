"""Landmarks of test clips: regions and openings."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from talkhead.data.landmarks import CLASSIC, MESH, find_landmarks, in_square, read_landmarks
from talkhead.errors import TalkheadError
from talkhead.evaluation.clips import clip_name, frame_size
from talkhead.faces.topology import (
    LEFT_EYE_CORNERS,
    LEFT_IRIS,
    LOWER_LIDS,
    LOWER_LIP,
    MOUTH_CORNERS,
    OUTER_LIPS,
    RIGHT_EYE_CORNERS,
    RIGHT_IRIS,
    SKIN_POINTS,
    UPPER_LIDS,
    UPPER_LIP,
)

# Parts of the face, by how many points there are.
REGIONS = {
    MESH: {
        "mouth": OUTER_LIPS,
        "eyes": (*LEFT_EYE_CORNERS, *RIGHT_EYE_CORNERS, *UPPER_LIDS, *LOWER_LIDS),
        "face": tuple(range(SKIN_POINTS)),
    },
    CLASSIC: {
        "mouth": tuple(range(48, 68)),
        "eyes": tuple(range(36, 48)),
        "face": tuple(range(68)),
    },
}
# What opens: (upper, lower, corner, other corner) of each; distances upper-lower over the corners'.
OPENINGS = {
    MESH: {
        "mouth_opening": ((UPPER_LIP, LOWER_LIP, *MOUTH_CORNERS),),
        "eye_opening": (
            (UPPER_LIDS[0], LOWER_LIDS[0], *LEFT_EYE_CORNERS),
            (UPPER_LIDS[1], LOWER_LIDS[1], *RIGHT_EYE_CORNERS),
        ),
    },
    CLASSIC: {
        "mouth_opening": ((62, 66, 48, 54),),
        "eye_opening": (
            *((37, 41, 36, 39), (38, 40, 36, 39)),
            *((43, 47, 42, 45), (44, 46, 42, 45)),
        ),
    },
}


# Where an iris lies between the corners of its eye: (iris, left corner, right corner).
GAZE = {
    MESH: ((LEFT_IRIS, *LEFT_EYE_CORNERS), (RIGHT_IRIS, *RIGHT_EYE_CORNERS)),
    CLASSIC: (),  # has no irises
}


class LandmarkFolder:
    """A folder with landmarks of clips; those of the clip asked for last are kept in memory.

    Raises TalkheadError when there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise TalkheadError(
                f"there is no folder of landmarks {folder}; leave it out, then the bundled face "
                "mesh finds them"
            )
        self.folder = folder
        self._kept: tuple[Path, int, np.ndarray | None] | None = None

    @property
    def key(self) -> str:
        """Changes when a file does."""
        found = [
            (file.relative_to(self.folder), file.stat()) for file in self.folder.rglob("*.npz")
        ]
        facts = [(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in sorted(found)]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]

    def points(self, clip: Path, size: int) -> np.ndarray | None:
        """float32 (frames, P, 2) in pixels of the clip's centre square at side `size`.

        None when there is no file for it. Raises TalkheadError for a file that holds no points.
        """
        if self._kept is None or self._kept[:2] != (clip, size):
            file = find_landmarks(self.folder, clip, clip_name(clip))
            points = None
            if file is not None:
                points = size * in_square(read_landmarks(file).points, *frame_size(clip))
            self._kept = (clip, size, points)
        return self._kept[2]


def gaze(points: np.ndarray) -> np.ndarray:
    """Where the irises of faces (..., P, 2) lie between the corners of their eyes: 0 is the left
    one, 1 the right; NaN (...) where the points hold no irises."""
    shares = []
    for iris, left, right in GAZE[points.shape[-2]]:
        axis = points[..., right, :] - points[..., left, :]
        way = points[..., iris, :] - points[..., left, :]
        shares.append((way * axis).sum(-1) / (axis * axis).sum(-1))
    if not shares:
        return np.full(points.shape[:-2], np.nan)
    mean: np.ndarray = np.mean(shares, axis=0)
    return mean


def opening(points: np.ndarray, part: str) -> np.ndarray:
    """How far a part of `OPENINGS` is open in faces (..., P, 2), relative to its width: (...)."""

    def distance(a: int, b: int) -> np.ndarray:
        found: np.ndarray = np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1)
        return found

    gaps = [
        distance(upper, lower) / distance(corner, other)
        for upper, lower, corner, other in OPENINGS[points.shape[-2]][part]
    ]
    mean: np.ndarray = np.mean(gaps, axis=0)
    return mean

"""Landmark files: points of faces that another tool found, one `.npz` per clip.

`points` (frames, P, 2 or more): x and y in pixels of the clip's frames (the centre of the first
pixel is 0.5), P 478 (MediaPipe's face mesh) or 68 (the usual landmarks), NaN where no face was
found. `examples/landmarks.py` makes them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from talkhead.errors import TalkheadError
from talkhead.evaluation.clips import clip_name, frame_size
from talkhead.faces.crop import centre_square

# Parts of the face, by how many points there are.
REGIONS = {
    478: {
        "mouth": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37),
        "eyes": (33, 133, 159, 145, 263, 362, 386, 374),
        "face": tuple(range(468)),
    },
    68: {
        "mouth": tuple(range(48, 68)),
        "eyes": tuple(range(36, 48)),
        "face": tuple(range(68)),
    },
}
# What opens: (upper, lower, corner, other corner) of each; distances upper-lower over the corners'.
OPENINGS = {
    478: {
        "mouth_opening": ((13, 14, 61, 291),),
        "eye_opening": ((159, 145, 33, 133), (386, 374, 263, 362)),
    },
    68: {
        "mouth_opening": ((62, 66, 48, 54),),
        "eye_opening": (
            *((37, 41, 36, 39), (38, 40, 36, 39)),
            *((43, 47, 42, 45), (44, 46, 42, 45)),
        ),
    },
}


class LandmarkFolder:
    """A folder with `<clip>.npz` for clips; those of the clip asked for last are kept in memory.

    Raises TalkheadError when there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise TalkheadError(
                f"there is no folder of landmarks {folder}; examples/landmarks.py makes one"
            )
        self.folder = folder
        self._kept: tuple[Path, int, np.ndarray | None] | None = None

    @property
    def key(self) -> str:
        """Changes when a file does."""
        files = sorted(self.folder.glob("*.npz"))
        facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]

    def points(self, clip: Path, size: int) -> np.ndarray | None:
        """float32 (frames, P, 2) in pixels of the clip's centre square at side `size`.

        None when there is no file for it. Raises TalkheadError for a file that holds no points.
        """
        if self._kept is None or self._kept[:2] != (clip, size):
            file = self.folder / f"{clip_name(clip)}.npz"
            points = read_points(file) if file.is_file() else None
            if points is not None:
                square = centre_square(*frame_size(clip))
                corner = np.array([square.x, square.y], np.float32)
                points = (points - corner) * (size / square.side)
            self._kept = (clip, size, points)
        return self._kept[2]


def read_points(file: Path) -> np.ndarray:
    """float32 (frames, P, 2). Raises TalkheadError for a file that holds no such points."""
    return _read(file)[0]


def read_numbered(file: Path) -> dict[int, np.ndarray]:
    """Points (P, 2) by frame number: the file's `frames`, or counted from 0."""
    points, numbers = _read(file)
    return dict(zip(numbers, points, strict=False))


def _read(file: Path) -> tuple[np.ndarray, list[int]]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            points = np.asarray(stored["points"], dtype=np.float32)
            frames = stored["frames"] if "frames" in stored.files else np.arange(len(points))
            numbers = [int(number) for number in frames]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise TalkheadError(f"{file} holds no landmarks `points` ({error})") from error
    if points.ndim != 3 or points.shape[1] not in REGIONS or points.shape[2] < 2:
        raise TalkheadError(
            f"{file} has points of shape {points.shape}; expected (frames, 478 or 68, 2)"
        )
    return points[..., :2], numbers


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

"""Landmark files: points of faces, one `.npz` per clip; and what points say about a face.

`points` (frames, P, 2 or more): x and y in pixels of the clip's frames (the centre of the first
pixel is 0.5), P 478 (MediaPipe's face mesh) or 68 (the usual landmarks), NaN where no face was
found. Where not all frames are there, `frames` numbers them; a file for many pictures `names` them.
`landmarking` makes such files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from talkhead.errors import TalkheadError
from talkhead.faces.crop import centre_square
from talkhead.io.arrays import read_arrays
from talkhead.topology import (
    IRISES,
    LEFT_EYE_CORNERS,
    LOWER_LIDS,
    LOWER_LIP,
    MESH_POINTS,
    MOUTH_CORNERS,
    RIGHT_EYE_CORNERS,
    UPPER_LIDS,
    UPPER_LIP,
)

PORTRAITS = "portraits.npz"  # of many pictures, by name
DEEPEST = 3  # folders between a root of clips and a clip
CLASSIC = 68
MOST_FRAMES = 200_000  # of a clip: two hours


# What opens: (upper, lower, corner, other corner) of each; distances upper-lower over the corners'.
OPENINGS = {
    MESH_POINTS: {
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
    MESH_POINTS: IRISES,
    CLASSIC: (),  # has no irises
}


class Landmarks(NamedTuple):
    """What one file holds, and what each row belongs to.

    meshes: float32 (N, P, 2 or 3), in pixels, with depth where the file has it.
    numbered: whether the file says which frames they are of; otherwise of all, in order.
    """

    meshes: np.ndarray
    frames: list[int]
    names: list[str]
    numbered: bool = False

    @property
    def points(self) -> np.ndarray:
        """x and y alone, (N, P, 2)."""
        return self.meshes[..., :2]

    def of_all_frames(self, count: int = 0) -> np.ndarray:
        """Meshes (F, P, 2 or 3) of all frames, NaN where the file leaves one out.

        count: F, at least, if the file is numbered.
        """
        if not self.numbered:
            return self.meshes
        length = max(count, 1 + max(self.frames, default=-1))
        rows = np.full((length, *self.meshes.shape[1:]), np.nan, np.float32)
        rows[self.frames] = self.meshes
        return rows

    def by_frame(self) -> dict[int, np.ndarray]:
        """Points (P, 2) by frame number."""
        return dict(zip(self.frames, self.points, strict=True))

    def by_name(self) -> dict[str, np.ndarray]:
        """Meshes (P, 2 or 3) by the name of a picture."""
        return dict(zip(self.names, self.meshes, strict=True))


def find_landmarks(folder: Path, clip: Path, name: str) -> Path | None:
    """The landmark file of a clip called `name`: as deep in the folder as the clip lies, or above.

    For `clips/test/anna/1.mp4` that is `test/anna/1.npz`, `anna/1.npz` or `1.npz`, whichever of
    these comes first.
    """
    files = (place / f"{name}.npz" for place in landmark_places(folder, clip))
    return next((file for file in files if file.is_file()), None)


def landmark_places(folder: Path, clip: Path) -> list[Path]:
    """The folders in which a clip's landmark file may lie, the deepest first.

    By the path that the clip is named by: one that is a link lies where the link does.
    """
    parents = Path(os.path.abspath(clip)).parts[1:-1]
    return [folder.joinpath(*parents[-depth:]) for depth in range(DEEPEST, 0, -1)] + [folder]


def read_landmarks(file: Path, counts: tuple[int, ...] = (MESH_POINTS, CLASSIC)) -> Landmarks:
    """Read one file; `counts` are the numbers of points that will do.

    Rows are numbered from 0 where the file has no `frames`. Raises TalkheadError for a file that
    is damaged or holds something else.
    """
    try:
        stored = read_arrays(file, ("points", "frames", "names"))
        points = _numbers(stored, "points", "fiu")
    except TalkheadError as error:
        raise TalkheadError(f"{file} holds no landmarks `points` ({error})") from error
    if points.ndim != 3 or points.shape[1] not in counts or points.shape[2] < 2:
        wanted = " or ".join(str(count) for count in counts)
        raise TalkheadError(
            f"{file} has points of shape {points.shape}; expected (frames, {wanted}, 2)"
        )
    with np.errstate(over="ignore"):
        points = points[..., :3].astype(np.float32)
    if np.isinf(points).any():
        raise TalkheadError(f"{file} has points at infinity; expected pixels, or NaN for no face")
    rows = np.arange(len(points))
    try:
        frames = _numbers(stored, "frames", "iu") if "frames" in stored else rows
        names = _numbers(stored, "names", "U") if "names" in stored else rows
    except TalkheadError as error:
        raise TalkheadError(f"{file}: {error}") from error
    if not frames.shape == names.shape == rows.shape:
        raise TalkheadError(f"{file} has {len(points)} faces, but numbers or names another count")
    numbered = "frames" in stored
    beyond = ((frames < 0) | (frames >= MOST_FRAMES)).any()
    if numbered and (beyond or len(np.unique(frames)) < len(frames)):
        raise TalkheadError(f"{file} numbers its `frames` twice, below 0 or above {MOST_FRAMES}")
    return Landmarks(points, frames.tolist(), [str(name) for name in names], numbered)


def _numbers(stored: dict[str, np.ndarray], name: str, kinds: str) -> np.ndarray:
    """One of the arrays, if its numbers are of these kinds."""
    if name not in stored:
        raise TalkheadError(f"it has no {name!r}")
    if stored[name].dtype.kind not in kinds:
        raise TalkheadError(f"{name!r} holds {stored[name].dtype}")
    return stored[name]


def in_square(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixels (..., 2 or 3) of a frame as fractions of its centre square: 0 and 1 are its edges.

    Both training and evaluation look at that square. Depth is in the same unit.
    """
    square = centre_square(width, height)
    corner = np.array([square.x, square.y, 0], np.float32)[: points.shape[-1]]
    found: np.ndarray = (points - corner) / np.float32(square.side)
    return found


def gaze(points: np.ndarray) -> np.ndarray:
    """Where the irises of faces (..., P, 2) lie between the corners of their eyes.

    0 is the left corner, 1 the right; NaN (...) where the points hold no irises.
    """
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

"""Landmark files: points of faces that another tool found, one `.npz` per clip.

`points` (frames, P, 2 or more): x and y in pixels of the clip's frames (the centre of the first
pixel is 0.5), P 478 (MediaPipe's face mesh) or 68 (the usual landmarks), NaN where no face was
found. Where not all frames are there, `frames` numbers them; a file for many pictures `names` them.
`examples/landmarks.py` makes such files.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from talkhead.errors import TalkheadError
from talkhead.faces.crop import centre_square

DEEPEST = 3  # folders between a root of clips and a clip
MESH = 478
CLASSIC = 68


class Landmarks(NamedTuple):
    """What one file holds, and what each row belongs to.

    meshes: float32 (N, P, 2 or 3), in pixels, with depth where the file has it.
    """

    meshes: np.ndarray
    frames: list[int]
    names: list[str]

    @property
    def points(self) -> np.ndarray:
        """x and y alone, (N, P, 2)."""
        return self.meshes[..., :2]

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
    places = [Path(), *(Path(*clip.parent.parts[-depth:]) for depth in range(1, DEEPEST + 1))]
    for place in reversed(places):
        file = folder / place / f"{name}.npz"
        if file.is_file():
            return file
    return None


def read_landmarks(file: Path, counts: tuple[int, ...] = (MESH, CLASSIC)) -> Landmarks:
    """Read one file; `counts` are the numbers of points that will do.

    Rows are numbered from 0 where the file has no `frames`. Raises TalkheadError for a file that
    is damaged or holds something else.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            points = np.asarray(stored["points"], dtype=np.float32)
            rows = range(len(points))
            frames = [int(n) for n in (stored["frames"] if "frames" in stored.files else rows)]
            names = [str(name) for name in (stored["names"] if "names" in stored.files else rows)]
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise TalkheadError(f"{file} holds no landmarks `points` ({error})") from error
    if points.ndim != 3 or points.shape[1] not in counts or points.shape[2] < 2:
        wanted = " or ".join(str(count) for count in counts)
        raise TalkheadError(
            f"{file} has points of shape {points.shape}; expected (frames, {wanted}, 2)"
        )
    if not len(points) == len(frames) == len(names):
        raise TalkheadError(f"{file} has {len(points)} faces, but numbers or names another count")
    return Landmarks(points[..., :3], frames, names)


def in_square(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixels (..., 2 or 3) of a frame as fractions of its centre square: 0 and 1 are its edges.

    Both training and evaluation look at that square. Depth is in the same unit.
    """
    square = centre_square(width, height)
    corner = np.array([square.x, square.y, 0], np.float32)[: points.shape[-1]]
    found: np.ndarray = (points - corner) / np.float32(square.side)
    return found

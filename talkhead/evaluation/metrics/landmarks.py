"""Landmarks of test clips: regions and openings."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from talkhead.data.clips import clip_name
from talkhead.data.landmarks import CLASSIC, find_landmarks, in_square, read_landmarks
from talkhead.errors import TalkheadError
from talkhead.topology import (
    LEFT_EYE_CORNERS,
    LOWER_LIDS,
    MESH_POINTS,
    OUTER_LIPS,
    RIGHT_EYE_CORNERS,
    SKIN_POINTS,
    UPPER_LIDS,
)
from talkhead.video import probe

# Parts of the face, by how many points there are.
REGIONS = {
    MESH_POINTS: {
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
                found, info = read_landmarks(file).of_all_frames()[..., :2], probe(clip)
                points = size * in_square(found, info.width, info.height)
            self._kept = (clip, size, points)
        return self._kept[2]

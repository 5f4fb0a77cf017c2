"""The landmarks of a clip: in memory, or read when they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from talkhead.data.landmarks import in_square
from talkhead.errors import TalkheadError
from talkhead.io.arrays import read_rows
from talkhead.io.window import Place
from talkhead.topology import MESH_POINTS

SAMPLED = 200  # clips that stand for all where something is learned from their landmarks

T = TypeVar("T")


class StoredMeshes:
    """The landmarks of a clip of a prepared set, read row by row.

    Raises TalkheadError, when asked for some, for a file that is damaged.
    """

    def __init__(self, place: Place, count: int, size: int) -> None:
        self._place = place
        self._count = count
        self._size = size

    @property
    def shape(self) -> tuple[int, ...]:
        """(F, 478, 3)."""
        return self._count, MESH_POINTS, 3

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, frames: Any) -> np.ndarray:
        """Some frames, as of an array."""
        numbers = np.arange(self._count)[frames]
        try:
            rows = read_rows(self._place, "points", numbers.reshape(-1).tolist())
        except TalkheadError as error:
            raise TalkheadError(f"{self._place} holds no landmarks ({error})") from error
        if rows.shape[1:] != (MESH_POINTS, 3):
            raise TalkheadError(
                f"{self._place} holds rows of {rows.shape[1:]}, not ({MESH_POINTS}, 3)"
            )
        points = rows.astype(np.float32).reshape(*numbers.shape, MESH_POINTS, 3)
        return 2 * in_square(points, self._size, self._size) - 1


# Face meshes of a clip's frames, float32 (F, 478, 2 or 3); see `data.clips.load_landmarks`.
Meshes = np.ndarray | StoredMeshes


def sampled(items: Sequence[T]) -> Sequence[T]:
    """All of them, or enough of very many, evenly."""
    return items[:: -(-len(items) // SAMPLED) or 1]

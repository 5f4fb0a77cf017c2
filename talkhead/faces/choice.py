"""Which of several faces."""

from __future__ import annotations

from talkhead.errors import TalkheadError
from talkhead.structs import Face


class NoFaceError(TalkheadError):
    """No face where one is needed."""


def choose(faces: list[Face], number: int | None = None) -> Face:
    """The largest face, or number `number` counted from left to right from 1.

    Raises NoFaceError when there is none, TalkheadError when there are fewer than `number`.
    """
    if not faces:
        raise NoFaceError("no face found; say where it is with a crop x,y,size")
    if number is None:
        return max(faces, key=lambda face: face.box[2] * face.box[3])
    ordered = sorted(faces, key=lambda face: face.centre[0])
    if not 1 <= number <= len(ordered):
        places = ", ".join(
            f"{i} at ({face.centre[0]:.0f}, {face.centre[1]:.0f})"
            for i, face in enumerate(ordered, 1)
        )
        raise TalkheadError(
            f"there is no face {number}: {len(ordered)} found, from left to right {places}; "
            "choose one of these, or give a crop x,y,size"
        )
    return ordered[number - 1]

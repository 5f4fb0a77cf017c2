"""Cut clips out of a video in one pass, behind the one that decides what they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut
from talkhead.structs import Crop
from talkhead.video.clip import clip_writer


@dataclass(frozen=True)
class Piece:
    """What becomes a clip: frames `start` to `stop` (without it), cut out by a square."""

    path: Path
    start: int
    stop: int
    crop: Crop


@dataclass
class _Open:
    """A piece that is being written: where its pictures go, and what completes it."""

    piece: Piece
    write: Callable[[np.ndarray], None]
    rest: ExitStack = field(default_factory=ExitStack)


class Cutter:
    """Writes pieces as they are decided, from a reader of its own that never goes back.

    What it holds is a frame, so memory does not grow with the video. Use as a context manager:
    pieces that are not complete when it is left are dropped.

    frames: all frames of the video, numbered from 0.
    """

    def __init__(self, frames: Iterable[tuple[int, np.ndarray]], size: int, rate: Fraction) -> None:
        self._frames = iter(frames)
        self._size = size
        self._rate = rate
        self._next = 0  # the number of the frame to be read next
        self._waiting: list[Piece] = []
        self._open: list[_Open] = []

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            with suppress(OSError):  # of closing what is thrown away
                each.rest.__exit__(_Dropped, _Dropped(), None)

    def cut(self, pieces: Iterable[Piece], before: int) -> None:
        """Write more pieces. Frames below `before` are in no piece that is still to come."""
        self._waiting += pieces
        while self._next < before and (self._waiting or self._open):
            number, rgb = next(self._frames, (self._next, None))
            if rgb is None:
                return
            self._begin(number)
            for each in self._open:
                each.write(cut(rgb, each.piece.crop, self._size))
            self._next = number + 1
            self._finish(self._next)

    def finish(self, pieces: Iterable[Piece]) -> None:
        """Write the last pieces. Raises TalkheadError when the video ends before they do."""
        self.cut(pieces, sys.maxsize)
        if self._waiting or self._open:
            raise TalkheadError("it had more frames when it was first read; run the command again")

    def _begin(self, number: int) -> None:
        for piece in [each for each in self._waiting if each.start <= number]:
            self._waiting.remove(piece)
            rest = ExitStack()
            write = rest.enter_context(clip_writer(piece.path, self._size, self._rate))
            self._open.append(_Open(piece, write, rest))

    def _finish(self, number: int) -> None:
        for each in [each for each in self._open if each.piece.stop <= number]:
            self._open.remove(each)
            each.rest.close()


class _Dropped(Exception):
    """What a writer is told that is not to complete its clip."""

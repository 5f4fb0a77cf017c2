"""Videos that tests write, whole or in part."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from media import moving_picture

from talkhead.video import VideoWriter

RATE = Fraction(1, 25)


def write(path: Path, frames: int = 3, **options: object) -> None:
    with VideoWriter(path, time_base=RATE, **options) as writer:  # type: ignore[arg-type]
        for number in range(writer.frames_done, frames):
            writer.write(moving_picture(number, 48, 48), number)


def interrupt(path: Path, frames: int, side: int = 48, **options: object) -> Path:
    """Write some frames, end as Ctrl-C does, and return the work folder."""
    with suppress(KeyboardInterrupt), VideoWriter(path, time_base=RATE, **options) as writer:  # type: ignore[arg-type]
        for number in range(frames):
            writer.write(moving_picture(number, side, side), number)
        raise KeyboardInterrupt
    (folder,) = path.parent.glob(".*.talkhead")
    return folder

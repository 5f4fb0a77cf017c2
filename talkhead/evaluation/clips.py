"""Frames of test clips as the models see them. Clips are taken as cut: nothing looks for a face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from talkhead.errors import TalkheadError, shown
from talkhead.faces.crop import cut_centre
from talkhead.video import VideoReader
from talkhead.video.pictures import picture_files

MOST_DIGITS = 9  # of a frame's number: a year at 30 frames a second


def file_name(case: str) -> str:
    """The name of a clip or case as a file's.

    >>> file_name("anna/1@0--bert/2")
    'anna%2F1@0--bert%2F2'
    """
    return quote(case, safe="#@ ")


def frame_number(clip: Path, frame: str) -> int:
    """Position in its clip of the frame that a list calls `0000012.png` (or `12`).

    In a folder of pictures it is looked up by name, in a video it is the number itself. Raises
    TalkheadError when there is no such frame.
    """
    stem = Path(frame).stem
    if clip.is_dir():
        names = [file.stem for file in picture_files(clip)]
        if stem in names:
            return names.index(stem)
    elif stem.isdecimal():
        return frame_position(stem)
    raise TalkheadError(f"{clip} has no frame {shown(frame)}")


def frame_position(digits: str) -> int:
    """A frame's number as a list has it. Raises TalkheadError beyond what any clip has."""
    if len(digits) > MOST_DIGITS:
        raise TalkheadError(f"there is no frame {shown(digits)}")
    return int(digits)


def read_frames(
    clip: Path, size: int, numbers: Sequence[int] | None = None, every: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """Numbers and pictures uint8 (size, size, 3): the centre square of each frame, resized.

    numbers: which frames, increasing; None: every `every`-th from the first. Raises TalkheadError
    when the clip cannot be read, ends too early or has a broken picture.
    """
    first, end = (numbers[0], numbers[-1] + 1) if numbers else (0, None)
    wanted = set(numbers or ())
    with VideoReader(clip, skip=first, frames=end, hold=False) as reader:
        seen = first
        for number, frame in enumerate(reader, start=first):
            seen = number + 1
            if number in wanted if numbers else number % every == 0:
                yield number, cut_centre(frame.rgb, size)
    if end is not None and seen < end:
        raise TalkheadError(f"{clip} has no frame {end - 1}: it ends before")


def read_picture(clip: Path, number: int, size: int) -> np.ndarray:
    """One frame, uint8 (size, size, 3)."""
    return next(read_frames(clip, size, [number]))[1]

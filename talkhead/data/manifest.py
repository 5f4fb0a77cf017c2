"""The manifest of a prepared training set: a line of JSON for every clip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from talkhead.errors import TalkheadError, shown
from talkhead.io.atomic import write_text
from talkhead.schema import Finite, Range, read_dataclass, read_json

MANIFEST = "manifest.jsonl"
LARGEST = 1 << 48
Bytes = Annotated[int, Range(0, LARGEST)]
Number = Annotated[int, Range(-LARGEST, LARGEST)]


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a training set.

    clip, landmarks: files, relative to the set's folder.
    identity:   whose face it shows; of equal ones none may be learned from and tested on.
    source:     the video that it was cut from. start, end: seconds in it.
    box:        left, top and side of the square in the video's pixels.
    size:       side of the clip in pixels. fps: frames per second. frames: their number.
    quality:    what was measured (see `preparation.quality`).
    """

    clip: str
    landmarks: str
    identity: str
    source: str
    start: Finite
    end: Finite
    box: tuple[Number, Number, Number]
    size: Annotated[int, Range(1, 100_000)]
    fps: Annotated[float, Range(0, 1000)]
    frames: Annotated[int, Range(1, 1_000_000_000)]
    quality: dict[str, Finite]

    def __post_init__(self) -> None:
        for name in (self.clip, self.landmarks):
            path = PurePosixPath(name)
            if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
                raise TalkheadError(f"{shown(name)} lies outside of the training set")


def read_manifest(folder: Path) -> tuple[ClipEntry, ...] | None:
    """The clips of a prepared training set; None for a folder without a manifest.

    Opens no clip. Raises TalkheadError that names the first line that is wrong.
    """
    path = folder / MANIFEST
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TalkheadError(f"{path} cannot be read ({error.strerror})") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(read_dataclass(ClipEntry, read_json(line)))
        except TalkheadError as error:
            raise TalkheadError(
                f"{path} is damaged in line {number} ({error}); run `talkhead prepare` again"
            ) from error
    return tuple(entries)


def write_manifest(folder: Path, entries: Iterable[ClipEntry]) -> None:
    """Whole or not at all. Raises OSError."""
    lines = (json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in entries)
    write_text(folder / MANIFEST, "".join(lines))

"""The manifest of a prepared training set: a line of JSON for every clip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from talkhead.errors import TalkheadError, shown
from talkhead.io.atomic import write_text
from talkhead.io.window import Place
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
    shard:      the tar file that holds both files, where the set is packed, with their first bytes
                and lengths in it.
    """

    clip: str
    landmarks: str
    identity: str
    source: str
    start: Finite
    end: Finite
    box: tuple[Number, Number, Number]
    size: Annotated[int, Range(1, 100_000)]
    fps: Annotated[float, Range(0.01, 1000)]
    frames: Annotated[int, Range(1, 1_000_000_000)]
    quality: dict[str, Finite]
    shard: str | None = None
    clip_bytes: tuple[Bytes, Bytes] | None = None
    landmarks_bytes: tuple[Bytes, Bytes] | None = None

    def __post_init__(self) -> None:
        for name in (self.clip, self.landmarks, self.shard or "shard"):
            if not name or name.startswith("/") or ".." in name.split("/") or "\0" in name:
                raise TalkheadError(f"{shown(name)} lies outside of the training set")

    def places(self, folder: Path) -> tuple[Place, Place]:
        """Where clip and landmarks are."""
        if self.shard is None or self.clip_bytes is None or self.landmarks_bytes is None:
            return Place(folder / self.clip), Place(folder / self.landmarks)
        shard = folder / self.shard
        return Place(shard, *self.clip_bytes), Place(shard, *self.landmarks_bytes)


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
            entries.append(_entry(read_json(line)))
        except TalkheadError as error:
            raise TalkheadError(
                f"{path} is damaged in line {number} ({error}); run `talkhead prepare` again"
            ) from error
    return tuple(entries)


def _entry(values: Any) -> ClipEntry:
    """The clip of one line.

    What `read_dataclass` checks takes seconds for 20,000 lines, so it only says what is wrong where
    a quick look finds that something is.
    """
    if isinstance(values, dict) and values.keys() == _KINDS.keys():  # not packed
        sound = all(type(values[name]) in kinds for name, kinds in _KINDS.items())
        if sound and _is_within(values):
            return ClipEntry(**{**values, "box": tuple(values["box"])})
    return read_dataclass(ClipEntry, values)


def _is_within(values: dict[str, Any]) -> bool:
    """Whether numbers are numbers, and within the bounds that `ClipEntry` states or narrower."""
    numbers = [*values["box"], *values["quality"].values()]
    return (
        len(values["box"]) == 3
        and all(type(number) is int for number in values["box"])
        and all(type(number) in _NUMBER for number in numbers)
        and all(abs(number) < LARGEST for number in (*numbers, values["start"], values["end"]))
        and 0 < values["frames"] <= 1_000_000_000
        and 0 < values["size"] <= 100_000
        and 0.01 <= values["fps"] <= 1000
    )


_TEXT, _NUMBER = (str,), (int, float)
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("clip", "landmarks", "identity", "source"), _TEXT),
    **dict.fromkeys(("start", "end", "fps"), _NUMBER),
    **dict.fromkeys(("size", "frames"), (int,)),
    "box": (list,),
    "quality": (dict,),
}


def write_manifest(folder: Path, entries: Iterable[ClipEntry]) -> None:
    """Whole or not at all. Raises OSError."""
    plain = ({k: v for k, v in asdict(e).items() if v is not None} for e in entries)
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in plain)
    write_text(folder / MANIFEST, "".join(lines))

"""Lists of what to take from videos: a CSV file, or VoxCeleb's folder of text files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

import numpy as np

from talkhead.errors import TalkheadError, shown
from talkhead.io.text import read_csv, read_text

COLUMNS = ("video", "start", "end", "identity")
# VoxCeleb numbers frames at 25 per second; boxes are shares of the picture, in VoxCeleb1 pixels of
# a picture with 360 lines.
VOX_RATE, VOX_LINES = 25, 360
HEADING = ["FRAME", "X", "Y", "W", "H"]
LATEST = 1e7  # seconds


@dataclass(frozen=True, eq=False)
class Segment:
    """A part of a video: seconds (None: to its ends), whose face is wanted, and where it is.

    boxes: (n, 5), seconds, then left, top, width, height as shares of the picture's height (of its
           width and height where `shares`); None: every face is wanted.
    """

    start: float | None = None
    end: float | None = None
    identity: str = ""
    boxes: np.ndarray | None = None
    shares: bool = False

    def shows(self, seconds: float, centre: tuple[float, float], width: int, height: int) -> bool:
        """Whether a face with this centre, in pixels, is the wanted one."""
        if self.boxes is None:
            return True
        box = self.boxes[np.abs(self.boxes[:, 0] - seconds).argmin()]
        unit = np.array([width if self.shares else height, height])
        corner, size = box[1:3] * unit, box[3:5] * unit
        return bool((np.abs(np.array(centre) - corner - size / 2) < size / 2).all())


@dataclass(frozen=True)
class Listed:
    """What a list says: the segments of each video by its name or path as the list has it."""

    path: Path
    segments: Mapping[str, tuple[Segment, ...]]

    def match(
        self, videos: Mapping[Path, Path]
    ) -> tuple[dict[Path, tuple[Segment, ...]], dict[str, str]]:
        """The segments of videos, by their keys, and what is not there, with why.

        videos: as given, by where they really are. A name matches a path from the list's folder, a
        video's path from its end (`anna/1.mp4`), or its name without ending.
        """
        by_end: dict[str, set[Path]] = {}
        for key, path in videos.items():
            parts = path.parts
            for depth in range(len(parts)):
                by_end.setdefault("/".join(parts[depth:]), set()).add(key)
            by_end.setdefault(path.stem, set()).add(key)
        matched: dict[Path, tuple[Segment, ...]] = {}
        missing: dict[str, str] = {}
        for name, segments in self.segments.items():
            here = (self.path.parent / name).resolve()
            keys = {here} if here in videos else by_end.get(Path(name).as_posix(), set())
            if len(keys) == 1:
                key = next(iter(keys))
                matched[key] = matched.get(key, ()) + segments
            elif keys:
                missing[name] = f"{len(keys)} videos have this name; write more of the path"
            else:
                missing[name] = "the list names it, but it is not among the videos"
        return matched, missing


def read_list(path: Path) -> Listed:
    """Read a CSV file or a folder of VoxCeleb's text files.

    Raises TalkheadError that names file and line for a list that cannot be read.
    """
    if path.is_dir():
        return Listed(path, _read_voxceleb(path))
    if not path.is_file():
        raise TalkheadError(f"{path} does not exist; --list takes a CSV file or VoxCeleb's folder")
    return Listed(path, _read_csv(path))


def _read_csv(path: Path) -> dict[str, tuple[Segment, ...]]:
    found: dict[str, list[Segment]] = {}
    (_, names), *rows = read_csv(path) or [(1, [])]
    head = [name.lower() for name in names]
    if "video" not in head:
        raise TalkheadError(
            f"{path} has no column `video`; its first line must name the columns, such as "
            f"{','.join(COLUMNS)}"
        )
    unknown = [name for name in head if name not in COLUMNS]
    if unknown or len(set(head)) < len(head):
        odd = unknown[0] if unknown else "one of them twice"
        raise TalkheadError(f"{path} has columns {', '.join(COLUMNS)}, not {shown(odd)}")
    for line, row in rows:
        place = f"{path}, line {line}"
        values = dict(zip(head, row, strict=False))
        if len(row) != len(head) or not values["video"]:
            raise TalkheadError(f"{place} has {len(row)} values, or no video; expected {head}")
        start, end = (_seconds(values.get(name, ""), name, place) for name in ("start", "end"))
        if end is not None and end <= (start or 0):
            raise TalkheadError(f"{place}: end ({end:g} s) must come after start")
        segment = Segment(start, end, values.get("identity", ""))
        found.setdefault(values["video"], []).append(segment)
    if not found:
        raise TalkheadError(f"{path} lists no videos")
    return {name: tuple(segments) for name, segments in found.items()}


def _seconds(text: str, name: str, place: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= LATEST:
        raise TalkheadError(f"{place}: {name} must be seconds, 0 or more, not {shown(text)}")
    return value


def _read_voxceleb(folder: Path) -> dict[str, tuple[Segment, ...]]:
    """`identity/video/segment.txt`, whose lines are FRAME X Y W H."""
    found: dict[str, list[Segment]] = {}
    for path in sorted(folder.rglob("*.txt")):
        parts = path.relative_to(folder).parts
        if len(parts) < 3:
            continue  # a licence or a readme
        identity, video = parts[-3:-1]
        found.setdefault(video, []).append(_read_boxes(path, identity))
    if not found:
        raise TalkheadError(
            f"{folder} holds no lists; expected VoxCeleb's identity/video/segment.txt"
        )
    return {name: tuple(segments) for name, segments in found.items()}


def _read_boxes(path: Path, identity: str) -> Segment:
    lines = [line.split() for line in read_text(path).splitlines()]
    rows = [words for words in dropwhile(lambda words: words[:5] != HEADING, lines) if words][1:]
    try:
        boxes = np.array(rows, np.float64).reshape(-1, 5)
    except ValueError:
        boxes = np.empty((0, 5))
    if not len(boxes) or not np.isfinite(boxes).all() or (boxes[:, 0] < 0).any():
        raise TalkheadError(f"{path} has no lines FRAME X Y W H with numbers after their heading")
    shares = bool(boxes[:, 1:].max() <= 2)
    boxes[:, 0] /= VOX_RATE
    boxes[:, 1:] /= 1 if shares else VOX_LINES
    start, end = float(boxes[:, 0].min()), float(boxes[:, 0].max()) + 1 / VOX_RATE
    return Segment(start, end, identity, boxes, shares)

"""Evaluation protocols: which source is driven by which frames. See `PROTOCOLS`."""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from talkhead.data.clips import Clip, clip_name, find_test_clips, test_folder
from talkhead.errors import TalkheadError, shown
from talkhead.evaluation.clips import frame_number, frame_position
from talkhead.io.text import read_csv

log = logging.getLogger(__name__)

LONGEST_NAME = 255  # bytes: no file system has names of more

PROTOCOLS = {
    "reconstruction": "same identity: the first frame of every clip drives all of its frames, "
    "absolute motion (FOMM's protocol)",
    "pairs": "same identity: a list of source and driving frames, absolute motion (MCNet's, "
    "DaGAN's and the codebook model's protocol; they call it reconstruction, too)",
    "videos": "same identity: a list of source frames and driving videos, absolute motion (MCNet's "
    "and DaGAN's vox_same_id_animate.csv)",
    "cross-pairs": "another identity: a list of source and driving frames; relative motion from "
    "the list's best frame, or from the driving clip's first where it has no such column",
    "cross-videos": "another identity: a list of sources and driving videos; relative motion from "
    "the list's best frame, or from the first",
    "random-pairs": "another identity: first frames of random clips driven by random other clips, "
    "relative motion from the first frame",
}
WITH_LIST = ("pairs", "videos", "cross-pairs", "cross-videos")
SAME_IDENTITY = ("reconstruction", "pairs", "videos")


@dataclass(frozen=True)
class Case:
    """One source and the driving frames that move it.

    name:    unique in its set; also names the file of its scores.
    clip:    name of the driving clip. Cases of one clip are not independent of each other.
    source:  the source's clip and frame number.
    numbers: of the driving frames; None: every `every`-th.
    anchor:  number of the driving frame that relative motion is measured from; None: absolute.
    truth:   whether the driving frames are what the result should look like.
    """

    name: str
    clip: str
    source: tuple[Path, int]
    driving: Path
    numbers: tuple[int, ...] | None
    every: int
    anchor: int | None
    truth: bool


@dataclass(frozen=True)
class EvaluationSet:
    """All cases of a protocol on a folder of clips.

    missing: which rows of its list were left out, and why.
    """

    protocol: str
    cases: tuple[Case, ...]
    missing: tuple[str, ...] = ()


def plan_evaluation(
    protocol: str,
    data: Path,
    *,
    pair_list: Path | None = None,
    every: int = 1,
    seed: int = 0,
    num_pairs: int = 50,
    limit: int | None = None,
) -> EvaluationSet:
    """The cases of a protocol named in `PROTOCOLS`; at most `limit` of them.

    pair_list: the csv of the protocols in `WITH_LIST`; paths in it count from `.../test/` on.
    every: of videos, every Nth frame is drawn. seed, num_pairs: of `random-pairs`.
    Raises TalkheadError when nothing can be drawn.
    """
    if protocol not in PROTOCOLS:
        raise TalkheadError(f"no protocol {protocol!r}; use {', '.join(PROTOCOLS)}")
    if (protocol in WITH_LIST) != (pair_list is not None):
        need = "needs" if pair_list is None else "takes no"
        raise TalkheadError(f"the protocol {protocol} {need} list of pairs (--list FILE.csv)")
    clips, folder = find_test_clips(data), test_folder(data)
    missing: tuple[str, ...] = ()
    if pair_list is not None:
        cases, missing = _read_list(protocol, pair_list, data, every)
    elif protocol == "reconstruction":
        cases = [
            Case(name, name, (clip.path, 0), clip.path, None, every, None, True)
            for clip in clips
            for name in [name_below(folder, clip.path)]
        ]
    else:
        cases = _random_pairs(clips, folder, seed, num_pairs, every)
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TalkheadError(f"two clips in {data} are called {twice}; rename one of them")
    return EvaluationSet(protocol, tuple(cases[:limit]), missing)


def name_below(folder: Path, clip: Path) -> str:
    """What a clip is called in reports: its path from the folder on, without its ending.

    >>> name_below(Path("data/test"), Path("data/test/anna/1.mp4"))
    'anna/1'
    """
    return clip.with_name(clip_name(clip)).relative_to(folder).as_posix()


def _random_pairs(
    clips: Sequence[Clip], folder: Path, seed: int, count: int, every: int
) -> list[Case]:
    """Distinct pairs of clips of different people, the same for the same seed and clips."""
    people = Counter(clip.identity for clip in clips)
    if len(people) < 2:
        raise TalkheadError(
            "random pairs need clips of at least two people; folders say who is seen, or names up "
            f"to the first # or -, and here all say {next(iter(people))!r}"
        )
    rng, chosen = random.Random(seed), dict[tuple[Path, Path], None]()
    there = len(clips) ** 2 - sum(number**2 for number in people.values())
    while len(chosen) < min(count, there):  # too many to be listed, in large sets
        a, b = rng.choice(clips), rng.choice(clips)
        if a.identity != b.identity:
            chosen[a.path, b.path] = None
    return [_pair(folder, (a, 0), b, None, every, anchor=0, truth=False) for a, b in chosen]


def _pair(
    folder: Path,
    source: tuple[Path, int],
    driving: Path,
    number: int | None,
    every: int,
    anchor: int | None,
    truth: bool,
) -> Case:
    """A source frame with one frame of a driving clip, or without `number` with all of it."""
    clip, end = name_below(folder, driving), "" if number is None else f"@{number}"
    name = f"{name_below(folder, source[0])}@{source[1]}--{clip}{end}"
    numbers = None if number is None else (number,)
    return Case(name, clip, source, driving, numbers, every, anchor, truth)


def _read_list(
    protocol: str, pair_list: Path, data: Path, every: int
) -> tuple[list[Case], tuple[str, ...]]:
    """Cases of a published list: source, driving and, where given, best frame."""
    rows = _rows(pair_list)
    if not rows:
        raise TalkheadError(f"{pair_list} has no rows; each names a source and a driving frame")
    cases: dict[str, Case] = {}
    missing = []
    for line, row in rows:
        try:
            case = _read_row(protocol, row, data, every)
        except TalkheadError as error:
            missing.append(f"line {line}: {error}")
        else:
            cases.setdefault(case.name, case)
    if not cases:
        raise TalkheadError(
            f"none of the {len(rows)} rows of {pair_list} can be used ({missing[0]}); give --data "
            "the folder that holds its test/ folder"
        )
    if missing:
        how_many = f"{len(missing)} of {len(rows)}"
        log.warning("%s: %s rows left out, the first at %s", pair_list, how_many, missing[0])
    return list(cases.values()), tuple(missing)


def _rows(pair_list: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and fields, without the header."""
    rows = read_csv(pair_list)
    header = rows[:1] and "." not in rows[0][1][0]
    return rows[1:] if header else rows


def _read_row(protocol: str, row: list[str], data: Path, every: int) -> Case:
    if len(row) < 2:
        raise TalkheadError("a row needs a source and a driving path")
    source, start = _locate(row[0], data)
    clip, number = _locate(row[1], data)
    if protocol in ("videos", "cross-videos"):
        number = None
    elif number is None:
        raise TalkheadError(
            f"{shown(row[1])} names a clip, not a frame; use --protocol videos or cross-videos"
        )
    anchor, truth = None, protocol in SAME_IDENTITY
    if not truth:
        anchor = _read_anchor(row[2], clip) if len(row) > 2 and row[2] else 0
    return _pair(test_folder(data), (source, start or 0), clip, number, every, anchor, truth)


def _read_anchor(text: str, clip: Path) -> int:
    """The best frame: a number, or the path of a frame of the driving clip."""
    if text.isdecimal():
        return frame_position(text)
    folder, _, frame = text.replace("\\", "/").rpartition("/")
    # One published list has no slash before the clip's name in this column.
    if not folder.removesuffix(".mp4").endswith(clip_name(clip)):
        raise TalkheadError(f"the best frame {shown(text)} is no frame of {clip.name}")
    return frame_number(clip, frame)


def _locate(text: str, data: Path) -> tuple[Path, int | None]:
    """The clip, and the frame where there is one, that an entry of a list means.

    Lists hold paths of their author's machine; what counts is the part after `test/`, or, without
    that, the last one or two parts.
    """
    parts = PurePosixPath(text.replace("\\", "/")).parts
    if "test" in parts:
        parts = parts[len(parts) - parts[::-1].index("test") :]
    folder = test_folder(data)
    if parts and (clip := _clip_called(folder, parts[-1])) is not None:
        return clip, None
    if len(parts) >= 2 and (clip := _clip_called(folder, parts[-2])) is not None:
        return clip, frame_number(clip, parts[-1])
    raise TalkheadError(f"{shown(text)} is not in {folder}")


def _clip_called(folder: Path, name: str) -> Path | None:
    """A clip of that name; a folder of frames and a video of it are the same to a list."""
    for candidate in (name, name.removesuffix(".mp4"), f"{name}.mp4"):
        path = folder / candidate
        is_name = path.name not in ("", ".", "..") and len(os.fsencode(candidate)) <= LONGEST_NAME
        if is_name and path.exists():
            return path
    return None

"""Which videos are prepared, which parts of them, and whose faces they show."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from talkhead.data.clips import identity_of
from talkhead.errors import TalkheadError
from talkhead.io.owned import is_owned
from talkhead.preparation.lists import Listed, Segment
from talkhead.video.media import VIDEO_SUFFIXES

TRAINING_SET = "training set"  # what the folder of one is marked as
LONGEST_NAME = 100  # bytes of an identity or of a video's name in the names of clips
NOT_IN_NAMES = re.compile(r"[#/\\:*?\"<>|\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Source:
    """A video, its name in the names of clips, and the parts to be taken: all of it, or listed."""

    path: Path
    name: str
    segments: tuple[Segment, ...]


def find_sources(
    videos: Sequence[Path], listed: Listed | None = None, taken: Collection[tuple[Path, str]] = ()
) -> tuple[list[Source], dict[str, str]]:
    """The videos of files and folders, in order, and what of the list is not there, with why.

    taken: videos that were prepared before, and their names.

    Raises TalkheadError for a path that does not exist and when there is no video at all.
    """
    found: dict[Path, tuple[Path, str]] = {}  # by where it really is: path, identity
    for given in videos:
        for path, base in _videos_of(given):
            found.setdefault(path.resolve(), (path, identity_of(path, base)))
    if not found:
        raise TalkheadError(
            f"no videos in {', '.join(map(str, videos)) or 'nothing'}; name video files "
            f"({', '.join(sorted(VIDEO_SUFFIXES))}) or folders that hold some"
        )
    matched: dict[Path, tuple[Segment, ...]] = dict.fromkeys(found, (Segment(),))
    missing: dict[str, str] = {}
    if listed is not None:
        matched, missing = listed.match({key: path for key, (path, _) in found.items()})
        if not matched:
            raise TalkheadError(
                f"none of the videos that {listed.path} names is among those given; the first is "
                f"{next(iter(missing), 'none')}"
            )
    sources: list[Source] = []
    for key, segments in matched.items():
        path, identity = found[key]
        known = tuple(replace(s, identity=s.identity or identity) for s in segments)
        sources.append(Source(path, _name(path, known[0].identity), known))
    return _told_apart(sorted(sources, key=lambda source: source.path), taken), missing


def _videos_of(given: Path) -> Iterable[tuple[Path, Path]]:
    """Every video of a file or folder, and the folder from which its identity is told.

    Clips of training sets are no videos to make others of.
    """
    if given.is_dir():
        is_set = cache(lambda folder: is_owned(folder, TRAINING_SET))
        files = sorted(path for path in given.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
        return [
            (path, given)
            for path in files
            if path.is_file()
            and not any(p.startswith(".") for p in path.relative_to(given).parts)
            and not any(map(is_set, [given, *_between(given, path)]))
        ]
    if not given.exists():
        raise TalkheadError(f"{given} does not exist; check the path")
    return [(given, given.parent)]


def _between(folder: Path, path: Path) -> list[Path]:
    """The folders below one that a path leads through."""
    parts = path.relative_to(folder).parts[:-1]
    return [folder.joinpath(*parts[: count + 1]) for count in range(len(parts))]


def _name(path: Path, identity: str) -> str:
    """A video's name below its identity: `identity/video/00001.mp4` is `video-00001`."""
    parts = [*path.parts[:-1], path.stem]
    if identity in parts[:-1]:
        last = len(parts) - 2 - parts[:-1][::-1].index(identity)
        return safe_name("-".join(parts[last + 1 :]))
    return safe_name(path.stem)


def _told_apart(sources: Sequence[Source], taken: Collection[tuple[Path, str]]) -> list[Source]:
    """With a hash in the names that several videos of one identity would have."""
    owners = {name: path for path, name in taken}
    named = []
    for source in sources:
        if owners.setdefault(source.name, source.path.resolve()) != source.path.resolve():
            digest = hashlib.sha256(os.fsencode(source.path.resolve())).hexdigest()[:8]
            source = replace(source, name=f"{source.name}-{digest}")
        named.append(source)
    return named


def safe_name(text: str) -> str:
    """A text as a part of a file's name; cut where it is too long, and told apart by a hash."""
    name = NOT_IN_NAMES.sub("-", text).strip(" .") or "unnamed"
    raw = os.fsencode(name)
    if len(raw) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return f"{raw[: LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"

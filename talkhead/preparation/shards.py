"""Pack a training set into tar files.

Servers and object stores like few large files better than very many small ones. Members are stored
as they are, so training reads clips and landmarks where they lie in a tar file, by the byte ranges
that the manifest of the shards names.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from talkhead.data.manifest import MANIFEST, ClipEntry, read_manifest, write_manifest
from talkhead.errors import TalkheadError
from talkhead.io.atomic import atomic_path
from talkhead.io.owned import delete_own

SHARDS = "shards"
NAMES = re.compile(r"\d{5}\.tar|\.\d{5}\.\d+\.part\.tar")


def pack(folder: Path, clips: Sequence[ClipEntry], megabytes: int) -> None:
    """Write `shards/` of a set: tar files and their manifest; nothing where they are up to date.

    `train --data` takes that folder as it takes the set's. Raises OSError.
    """
    out = folder / SHARDS
    limit = megabytes << 20
    if _is_packed(out, clips):
        there = read_manifest(out) or ()
        groups = _groups(((entry, _packed_size(entry)) for entry in there), limit)
        if [each.shard for each in there] == [name for name, group in groups for _ in group]:
            return
    out.mkdir(exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)  # what it says will not be so in a moment
    packed = []
    for name, group in _groups(((entry, _size(folder, entry)) for entry in clips), limit):
        with atomic_path(out / name) as partial:
            packed += list(_write(folder, partial, name, group))
    delete_own(out, NAMES, [out / entry.shard for entry in packed if entry.shard])
    write_manifest(out, packed)


def remove_stale(folder: Path, clips: Sequence[ClipEntry]) -> None:
    """Remove `shards/` of a set as it was, so that nobody trains on it. Raises OSError."""
    out = folder / SHARDS
    if out.is_dir() and not out.is_symlink() and not _is_packed(out, clips):
        (out / MANIFEST).unlink(missing_ok=True)
        delete_own(out, NAMES)
        if not any(out.iterdir()):
            out.rmdir()


def _is_packed(out: Path, clips: Sequence[ClipEntry]) -> bool:
    """Whether the shards are those of these clips."""
    try:
        packed = read_manifest(out)
    except TalkheadError:
        return False
    bare = [replace(e, shard=None, clip_bytes=None, landmarks_bytes=None) for e in packed or ()]
    there = {out / e.shard for e in packed or () if e.shard}
    return packed is not None and bare == list(clips) and all(file.is_file() for file in there)


def _groups(
    clips: Iterable[tuple[ClipEntry, int]], limit: int
) -> Iterator[tuple[str, list[ClipEntry]]]:
    """The name of each shard and its clips, in order; they come with their bytes."""
    group: list[ClipEntry] = []
    total = count = 0
    for entry, size in clips:
        total += size
        group.append(entry)
        if total >= limit:
            yield f"{count:05d}.tar", group
            group, total, count = [], 0, count + 1
    if group:
        yield f"{count:05d}.tar", group


def _size(folder: Path, entry: ClipEntry) -> int:
    return sum((folder / name).stat().st_size for name in (entry.clip, entry.landmarks))


def _packed_size(entry: ClipEntry) -> int:
    return sum(place[1] for place in (entry.clip_bytes, entry.landmarks_bytes) if place)


def _write(folder: Path, path: Path, name: str, clips: Iterable[ClipEntry]) -> Iterator[ClipEntry]:
    """One shard; the clips with their places in it."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as shard:
        for entry in clips:
            ranges = []
            for file in (entry.clip, entry.landmarks):
                shard.add(folder / file, file, recursive=False)
                length = (folder / file).stat().st_size
                ranges.append((shard.offset - length - -length % tarfile.BLOCKSIZE, length))
            clip, landmarks = ranges
            yield replace(entry, shard=name, clip_bytes=clip, landmarks_bytes=landmarks)

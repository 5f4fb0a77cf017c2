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
    groups = list(_groups(folder, clips, megabytes << 20))
    names = [f"{number:05d}.tar" for number, group in enumerate(groups) for _ in group]
    if _is_packed(out, clips) and names == [entry.shard for entry in read_manifest(out) or ()]:
        return
    out.mkdir(exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)  # what it says will not be so in a moment
    packed = []
    for number, group in enumerate(groups):
        name = f"{number:05d}.tar"
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


def _groups(folder: Path, clips: Iterable[ClipEntry], size: int) -> Iterator[list[ClipEntry]]:
    """The clips of each shard, in order."""
    group: list[ClipEntry] = []
    total = 0
    for entry in clips:
        total += sum((folder / name).stat().st_size for name in (entry.clip, entry.landmarks))
        group.append(entry)
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group


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

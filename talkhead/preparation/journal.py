"""What was made of every video: a line of JSON each, added when its clips are complete."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from talkhead.data.manifest import ClipEntry
from talkhead.errors import TalkheadError
from talkhead.io.atomic import write_text
from talkhead.io.owned import read_own
from talkhead.preparation.extract import Extract
from talkhead.preparation.options import PrepareOptions
from talkhead.preparation.sources import Source
from talkhead.schema import read_dataclass, read_json

JOURNAL = "sources.jsonl"
# What clips do not depend on, or what may be another for each video.
_FREE = {"output", "videos", "listed", "shard_size", "device", "workers", "overwrite"}


@dataclass(frozen=True)
class Record:
    """A video that is done.

    source: where it really is. name: its name in the names of clips. work: hash of its state and of
    what was wanted of it.
    """

    source: str
    name: str
    work: str
    made: Extract


class Journal:
    """The records of a training set. A line that a killed run has not completed does not count.

    Raises TalkheadError for a set that was made with other settings.
    """

    def __init__(self, folder: Path, options: PrepareOptions) -> None:
        self._path = folder / JOURNAL
        self._settings = {
            field.name: getattr(options, field.name)
            for field in fields(options)
            if field.name not in _FREE
        }
        self._records: dict[str, Record] = {}
        lines = (read_own(self._path) or b"").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        if whole:
            self._check(read_json(whole[0]))
        for line in whole[1:]:
            with suppress(TalkheadError):  # a video whose record is damaged is done again
                record = read_dataclass(Record, read_json(line))
                self._records[record.source] = record

    def _check(self, settings: Any) -> None:
        found = settings if isinstance(settings, dict) else dict.fromkeys(self._settings, "unknown")
        for name, value in self._settings.items():
            if (was := found.get(name)) != value:
                raise TalkheadError(
                    f"{self._path.parent} was prepared with {name} {was}, not {value}; use the "
                    "same, another --output, or --overwrite to begin anew"
                )

    @property
    def records(self) -> list[Record]:
        """Of all videos that are done, in the order of their paths."""
        return sorted(self._records.values(), key=lambda record: record.source)

    @property
    def names(self) -> set[tuple[Path, str]]:
        """Videos and their names."""
        return {(Path(record.source), record.name) for record in self._records.values()}

    def has(self, source: Source) -> bool:
        """Whether a video is done as it is now."""
        record = self._records.get(str(source.path.resolve()))
        return record is not None and record.work == work_of(source)

    def keep(self) -> None:
        """Write it anew, without what is out of date; from now on records are added to it."""
        lines = [json.dumps(self._settings), *(_line(record) for record in self.records)]
        write_text(self._path, "".join(f"{line}\n" for line in lines))

    def add(self, source: Source, work: str, made: Extract) -> None:
        """Note that a video is done, as it was before (`work_of`). Raises OSError."""
        key = str(source.path.resolve())
        record = Record(key, source.name, work, made)
        with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{_line(record)}\n")
            file.flush()
            os.fsync(file.fileno())
        self._records[key] = record


def clips_of(records: Iterable[Record]) -> list[ClipEntry]:
    """The clips of all videos."""
    return [clip for record in records for clip in record.made.clips]


def work_of(source: Source) -> str:
    """Changes when a video does, or what is wanted of it."""
    stat = source.path.stat()
    digest = hashlib.sha256(os.fsencode(f"{stat.st_size} {stat.st_mtime_ns} {source.name}"))
    for segment in source.segments:
        digest.update(repr((segment.start, segment.end, segment.identity)).encode())
        if segment.boxes is not None:
            digest.update(segment.boxes.tobytes())
    return digest.hexdigest()[:16]


def _line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False)

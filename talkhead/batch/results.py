"""What has become of every row: a table beside the results, and notes until a row is in it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from talkhead.animation.paths import stamps
from talkhead.errors import TalkheadError
from talkhead.io.atomic import write_text
from talkhead.io.owned import OwnedFolder, delete_own, read_own
from talkhead.schema import read_dataclass, read_json
from talkhead.video.pictures import pattern_to_write

log = logging.getLogger(__name__)

TABLE = "results.jsonl"
NOTES = ".talkhead-batch"
HALF_NOTE = re.compile(r"\.[0-9a-f]{32}\.\d+\.part\.json")  # of a worker that was killed
SAVE_SECONDS = 2.0  # between two savings of the table; notes hold what it lacks


@dataclass(frozen=True)
class Result:
    """What became of a row.

    row:     its number in the table of jobs; None: of a table that was run before.
    status:  "begun" stands in notes only.
    output:  below the folder of the results.
    seconds: of rendering; frames: in the output; resumed: of these, left by a run that was cut
             short; lost: how often the driving face was lost.
    work:    changes when inputs, settings or weights change; empty where that is not known.
    stamp:   changes when the files of the output do; of a row that is begun, as they were before.
    """

    row: int | None
    status: Literal["waiting", "begun", "done", "failed"]
    source: str
    driving: str
    output: str
    seconds: float | None = None
    frames: int | None = None
    resumed: int | None = None
    lost: int | None = None
    error: str | None = None
    work: str = ""
    stamp: str = ""

    def is_done(self, folder: Path, work: str) -> bool:
        """Whether this is the result of that work, with its output as it was left."""
        same = self.status == "done" and self.work == work
        return same and self.stamp == stamp(folder / self.output)

    def has_failed(self, work: str) -> bool:
        """Whether that very work has failed."""
        return self.status == "failed" and self.work == work

    def has_made(self, folder: Path, work: str) -> bool:
        """Whether that work was begun and has made its output, but could not say so any more."""
        begun = self.status == "begun" and self.work == work
        return begun and stamp(folder / self.output) not in ("", self.stamp)


def stamp(output: Path) -> str:
    """Changes when the files of an output change; empty where there are none."""
    try:
        found = [facts[1:] for facts in stamps([pattern_to_write(output) or output])]
    except FileNotFoundError:
        return ""
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16] if found else ""


def write_note(folder: Path, result: Result) -> None:
    """Note a row, whole or not at all, where `Results` finds it. Raises OSError."""
    write_text(_note(folder, result.output), json.dumps(asdict(result)))


def _note(folder: Path, output: str) -> Path:
    return folder / NOTES / f"{hashlib.sha256(output.encode()).hexdigest()[:32]}.json"


class Results:
    """The results of a batch in its folder, which belongs to one process at a time.

    The table is written every few seconds and at the end. What it lacks when a batch is killed
    stands in notes, which workers write before they report.

    kept:  whether the table stays in the folder; else it lies among the notes, and goes when all
           rows are done, or none.
    found: by output, what earlier runs have left. begun: what they had not brought to an end.

    Use as a context manager. Raises TalkheadError for a folder that is in use or cannot be written.
    """

    def __init__(self, folder: Path, kept: bool = True) -> None:
        self.folder = folder
        self._kept = kept
        self._table = folder / (TABLE if kept else f"{NOTES}/{TABLE}")
        self._rows: dict[int, Result] = {}
        self._saved = 0.0
        if not kept and self._table.is_symlink():
            raise TalkheadError(f"{self._table} is a link, which is not written to; remove it")
        self._is_new = not folder.is_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            busy = f"another batch writes to {folder}; wait for it, or choose another folder"
            self._owned = OwnedFolder(folder / NOTES, "batch", busy)
            lines = (read_own(self._table) or b"").splitlines()
            notes = [read_own(path) or b"" for path in (folder / NOTES).glob("*.json")]
        except OSError as error:
            raise self._explain(error) from error
        noted = list(_read(notes, folder / NOTES))
        left = [*_read(lines, self._table), *(each for each in noted if each.status != "begun")]
        # A row that failed before it was known what to do says nothing of an output that is there.
        left.sort(key=lambda result: bool(result.work))
        self.found = {result.output: result for result in left}
        self.begun = {result.output: result for result in noted if result.status == "begun"}

    def note_of(self, output: str) -> Result | None:
        """What a worker has noted last of a row that is not reported."""
        path = _note(self.folder, output)
        return next(_read([read_own(path) or b""], path), None) if path.exists() else None

    def put(self, results: Iterable[Result]) -> None:
        """These are the results of their rows from now on. Raises TalkheadError."""
        self._rows |= {result.row: result for result in results if result.row is not None}
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        """Write the table; notes of what it holds go."""
        rows = [self._rows[number] for number in sorted(self._rows)]
        named = {(result.output, bool(result.work)) for result in rows}
        others = [
            replace(each, row=None)
            for each in self.found.values()
            if (each.output, True) not in named and (each.output, bool(each.work)) not in named
        ]
        shown = [*rows, *others]
        try:
            lines = [f"{json.dumps(asdict(result), ensure_ascii=False)}\n" for result in shown]
            write_text(self._table, "".join(lines))
            for result in shown:
                if result.status != "waiting" and result.work:
                    _note(self.folder, result.output).unlink(missing_ok=True)
        except OSError as error:
            raise self._explain(error) from error
        self._saved = time.monotonic()

    def _explain(self, error: OSError) -> TalkheadError:
        return TalkheadError(
            f"cannot write the results into {self.folder} ({error.strerror or error}); make room, "
            "or choose another folder, and run the same command again"
        )

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._rows:
                self._save()
                done = [row.status == "done" for row in self._rows.values()]
                if not self._kept and (all(done) or not (any(done) or self.found)):
                    self._table.unlink()
        finally:
            delete_own(self._owned.path, HALF_NOTE)
            if self._owned.is_empty():
                self._owned.remove()
            self._owned.release()
            if self._is_new and not any(self.folder.iterdir()):
                self.folder.rmdir()


def _read(lines: Iterable[bytes], path: Path) -> Iterator[Result]:
    """Results as JSON; what is damaged is left out with a warning."""
    for line in lines:
        try:
            yield read_dataclass(Result, read_json(line))
        except TalkheadError as error:
            log.warning("%s is damaged and left out in part: %s", path, error)

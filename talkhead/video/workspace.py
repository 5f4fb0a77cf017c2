"""The hidden folder beside an unfinished output: coded frames that a later run can go on from."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from talkhead.errors import TalkheadError

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

HEADER = struct.Struct("<4sII")  # magic, coded width, coded height
PACKET = struct.Struct("<qBI")  # pts, is it a key frame, bytes that follow
MAGIC = b"THS1"
LOCK = "lock"
SEGMENT_NAME = re.compile(r"(\d{9})-(\d{9})\.segment")


@dataclass(frozen=True)
class CodedFrame:
    """One encoded frame, in coding order."""

    pts: int
    is_key: bool
    data: bytes


@dataclass(frozen=True)
class Timing:
    """When the stored frames are shown, in units of the video's time base.

    second:  the frame after the first; equal to it when there is only one.
    count:   number of frames.
    reorder: how many frames at most are coded before a frame that is shown earlier than they are.
    """

    first: int
    second: int
    last: int
    count: int
    reorder: int


class Workspace:
    """Finished segments of coded frames, each an independently decodable run of frames.

    A segment is written under a partial name and renamed once it is complete and on disk, so
    whatever a crash leaves behind, the segments found later are whole. They are kept only when
    `settings`, which must name all that the frames depend on, is what they were made with.
    """

    def __init__(self, output: Path, settings: Mapping[str, object]) -> None:
        self.folder = output.parent / f".{output.name}.talkhead"
        self._output = output
        self._settings = json.dumps(settings, sort_keys=True, default=str)
        if not output.parent.is_dir():
            raise TalkheadError(f"the folder {output.parent} does not exist; create it first")
        self._segments: list[Path] = []
        with explained(output, 0):
            self.folder.mkdir(exist_ok=True)
            self._lock = self._claim()
        self._adopt()

    def _claim(self) -> BinaryIO:
        """Keep other renders of the same output away for as long as this object lives."""
        lock = (self.folder / LOCK).open("wb")
        if sys.platform != "win32":
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.close()
                raise TalkheadError(
                    f"{self._output} is being rendered already; wait, or choose another name"
                ) from error
        return lock

    def _adopt(self) -> None:
        """Take over an earlier run's segments, or begin with an empty folder."""
        note = self.folder / "settings.json"
        found = self._find_segments()
        with explained(self._output, 0):
            if not note.exists() or note.read_text() != self._settings:
                if found:
                    log.warning(
                        "%s: an unfinished render with other settings is dropped", self._output
                    )
                note.unlink(missing_ok=True)
                found = []
            for path in self.folder.iterdir():
                if path not in (note, self.folder / LOCK, *found):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            if not note.exists():
                partial = note.with_suffix(".partial")
                partial.write_text(self._settings)
                publish(partial, note)
        self._segments = found

    def _find_segments(self) -> list[Path]:
        """Complete segments in order, as far as they follow each other without a gap."""
        found: list[Path] = []
        expected = 0
        for path in sorted(self.folder.glob("*.segment")):
            match = SEGMENT_NAME.fullmatch(path.name)
            if match is None or int(match[1]) != expected:
                break
            expected = int(match[2])
            found.append(path)
        return found

    @property
    def frames_done(self) -> int:
        """Frames in complete segments."""
        return int(self._segments[-1].stem.split("-")[1]) if self._segments else 0

    @property
    def size(self) -> tuple[int, int] | None:
        """Coded width and height, None as long as there is no segment."""
        if not self._segments:
            return None
        with self._segments[0].open("rb") as file:
            _, width, height = HEADER.unpack(file.read(HEADER.size))
        return width, height

    def begin(self, size: tuple[int, int]) -> Segment:
        """Start the segment that follows the complete ones."""
        return Segment(self.folder, self.frames_done, size)

    def keep(self, segment: Segment) -> None:
        """Complete a segment: it is on disk and counts from now on."""
        self._segments.append(segment.complete())

    def frames(self) -> Iterator[CodedFrame]:
        """Every stored frame, in coding order, one at a time."""
        for path in self._segments:
            with path.open("rb") as file:
                file.seek(HEADER.size)
                while head := file.read(PACKET.size):
                    pts, is_key, size = PACKET.unpack(head)
                    yield CodedFrame(pts, bool(is_key), file.read(size))

    def timing(self) -> Timing:
        """First and last time and the depth of reordering; needs at least one frame."""
        earliest: list[int] = []
        last, count, reorder = 0, 0, 0
        for path in self._segments:
            coded = list(_times(path))
            shown = {pts: rank for rank, pts in enumerate(sorted(coded))}
            reorder = max([reorder, *(index - shown[pts] for index, pts in enumerate(coded))])
            earliest = sorted([*earliest, *coded])[:2]
            last, count = max(coded), count + len(coded)
        if not count:
            raise TalkheadError(f"nothing was rendered for {self._output}: no frame was written")
        return Timing(earliest[0], earliest[-1], last, count, reorder)

    def remove(self) -> None:
        """Delete the folder and everything in it, and let go of the output."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Let others render this output."""
        self._lock.close()


class Segment:
    """A segment that is being written; it counts only once the workspace keeps it."""

    def __init__(self, folder: Path, first: int, size: tuple[int, int]) -> None:
        self._first = first
        self._path = folder / f"{first:09d}.partial"
        self._file = self._path.open("wb")
        self._file.write(HEADER.pack(MAGIC, *size))
        self._count = 0

    def add(self, frames: Iterable[CodedFrame]) -> None:
        """Append frames in coding order."""
        for frame in frames:
            self._file.write(PACKET.pack(frame.pts, frame.is_key, len(frame.data)))
            self._file.write(frame.data)
            self._count += 1

    def complete(self) -> Path:
        """Close it, force it to disk, give it its final name and return that."""
        self._file.close()
        end = self._first + self._count
        final = self._path.with_name(f"{self._first:09d}-{end:09d}.segment")
        publish(self._path, final)
        return final

    def drop(self) -> None:
        """Throw it away."""
        try:
            self._file.close()
        except OSError:  # what was buffered no longer matters; the disk may be full
            log.debug("%s could not be flushed", self._path)
        self._path.unlink(missing_ok=True)


def _times(path: Path) -> Iterator[int]:
    with path.open("rb") as file:
        file.seek(HEADER.size)
        while head := file.read(PACKET.size):
            pts, _, size = PACKET.unpack(head)
            yield pts
            file.seek(size, os.SEEK_CUR)


def publish(partial: Path, final: Path) -> None:
    """Make a finished file appear under its name at once, surviving a power cut."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(final)


@contextmanager
def explained(output: Path, frames_done: int) -> Iterator[None]:
    """Turn what a disk says while `output` is written into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TalkheadError(
                f"the disk is full: {output} could not be written; make room and run the same "
                f"command again to go on from frame {frames_done}"
            ) from error
        raise TalkheadError(
            f"{output} could not be written ({error.strerror or error}); check that its folder "
            "can be written to"
        ) from error

"""A run of coded frames in a file, with a checksum."""

from __future__ import annotations

import logging
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from talkhead.io.atomic import publish

log = logging.getLogger(__name__)

HEADER = struct.Struct("<4sII")  # magic, coded width, coded height
PACKET = struct.Struct("<qBI")  # pts, is it a key frame, bytes that follow
TRAILER = struct.Struct("<4sI")  # magic, CRC-32 of all before
MAGIC, END = b"THS2", b"THSE"
NAME = re.compile(r"(\d{9})-(\d{9})\.segment")
CHUNK = 1 << 20  # bytes that are read at once


@dataclass(frozen=True)
class CodedFrame:
    """One encoded frame, in coding order."""

    pts: int
    is_key: bool
    data: bytes


@dataclass(frozen=True)
class Summary:
    """What must hold for the segment after this one.

    end: number of frames so far; last: latest time; size: coded width and height.
    """

    end: int = 0
    last: int | None = None
    size: tuple[int, int] | None = None


class Segment:
    """A segment that is being written; it counts only once the workspace keeps it."""

    def __init__(self, folder: Path, first: int, size: tuple[int, int]) -> None:
        self._first = first
        self._path = folder / f"{first:09d}.partial"
        self._file = self._path.open("xb")
        self._checksum = 0
        self._count = 0
        self._write(HEADER.pack(MAGIC, *size))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._checksum = zlib.crc32(data, self._checksum)

    def add(self, frames: Iterable[CodedFrame]) -> None:
        """Append frames in coding order."""
        for frame in frames:
            self._write(PACKET.pack(frame.pts, frame.is_key, len(frame.data)))
            self._write(frame.data)
            self._count += 1

    def complete(self) -> Path:
        """Close it, force it to disk, give it its final name and return that."""
        self._file.write(TRAILER.pack(END, self._checksum))
        self._file.close()
        end = self._first + self._count
        final = self._path.with_name(f"{self._first:09d}-{end:09d}.segment")
        publish(self._path, final, overwrite=True)
        return final

    def drop(self) -> None:
        """Throw it away."""
        try:
            self._file.close()
        except OSError:  # what was buffered no longer matters; the disk may be full
            log.debug("%s could not be flushed", self._path)
        self._path.unlink(missing_ok=True)


def packets(file: BinaryIO) -> Iterator[tuple[int, bool, int]]:
    """Time, is it a key frame, and size of every frame; its bytes can be read before going on."""
    end = file.seek(0, os.SEEK_END) - TRAILER.size
    place = HEADER.size
    while place < end:
        file.seek(place)
        pts, is_key, size = PACKET.unpack(file.read(PACKET.size))
        place += PACKET.size + size
        yield pts, bool(is_key), size
    if place != end:
        raise ValueError("its last frame is cut short")


def check_segment(path: Path, before: Summary) -> Summary:
    """Whether a file holds the frames that its name says and follows what is there already.

    Raises ValueError, with what is wrong.
    """
    name = NAME.fullmatch(path.name)
    if name is None or path.is_symlink() or not path.is_file():
        raise ValueError(f"{path.name} is no segment")
    if int(name[1]) != before.end:
        raise ValueError(f"frames {before.end} to {int(name[1])} are missing")
    try:
        with path.open("rb") as file:
            magic, width, height = HEADER.unpack(file.read(HEADER.size))
            if magic != MAGIC or not _is_sound(file):
                raise ValueError(f"{path.name} does not match its checksum")
            times = [pts for pts, _, _ in packets(file)]
    except struct.error as error:
        raise ValueError(f"{path.name} is cut short") from error
    if not times or len(times) != int(name[2]) - int(name[1]):
        raise ValueError(f"{path.name} holds {len(times)} frames")
    if before.last is not None and min(times) <= before.last:
        raise ValueError(f"{path.name} does not come after the frames before it")
    if before.size not in (None, (width, height)):
        raise ValueError(f"{path.name} has frames of another size")
    return Summary(int(name[2]), max(times), (width, height))


def _is_sound(file: BinaryIO) -> bool:
    left = file.seek(0, os.SEEK_END) - TRAILER.size
    file.seek(0)
    checksum = 0
    while left > 0:
        data = file.read(min(left, CHUNK))
        if not data:
            return False
        checksum = zlib.crc32(data, checksum)
        left -= len(data)
    return TRAILER.unpack(file.read(TRAILER.size)) == (END, checksum)

"""A part of a file as a file of its own: members of tar files are read where they lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Bytes of a file: all of it, or `length` bytes from `offset` on."""

    path: Path
    offset: int = 0
    length: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.length is None else f"{self.path} (byte {self.offset})"


class Window:
    """The bytes of a place, to be read; whoever reads sees nothing beyond. Raises OSError."""

    def __init__(self, place: Place) -> None:
        self._file = place.path.open("rb", buffering=0)
        self._offset = place.offset
        size = os.fstat(self._file.fileno()).st_size
        self._length = size if place.length is None else place.length
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        """At most `count` bytes, or all that are left."""
        left = max(0, self._length - self._at)
        self._file.seek(self._offset + self._at)
        found = self._file.read(left if count < 0 else min(count, left)) or b""
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file. Places before the beginning, which damage may ask for, lead nowhere."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if base + offset < 0:
            return -1
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seekable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

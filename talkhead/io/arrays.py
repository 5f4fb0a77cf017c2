"""Files of arrays (`.npz`): the only place that reads them.

A file may come from anywhere: it holds numbers and texts, runs nothing, and takes no more memory
than the archive says that its parts have.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.lib import format as npy

from talkhead.errors import TalkheadError, shown, told
from talkhead.io.window import Place, Window

LARGEST = 2 << 30  # bytes of one array: the mesh of a face for three hours at 30 frames a second
# RuntimeError: what is encrypted; NotImplementedError: what is packed in another way
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, RuntimeError),
    OverflowError,  # places beyond the end of any file
)
KINDS = "biufU"  # of numbers and texts, as numpy calls them: no Python objects, no raw bytes


def read_arrays(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that a file holds.

    Raises TalkheadError with the reason for a file that is missing, damaged or holds something
    else under these names.
    """
    with _archive(Place(file)) as archive:
        parts = {part.filename.removesuffix(".npy"): part for part in archive.infolist()}
        return {name: _read(archive, parts[name]) for name in names if name in parts}


def read_rows(place: Place, name: str, numbers: Sequence[int]) -> np.ndarray:
    """Some rows of one array, without reading the others where the file is not packed.

    Raises TalkheadError like `read_arrays`, and for a row that is not there.
    """
    with _archive(place) as archive:
        if f"{name}.npy" not in archive.namelist():
            raise TalkheadError(f"it has no {name!r}")
        part = archive.getinfo(f"{name}.npy")
        if part.compress_type != zipfile.ZIP_STORED:
            return _read(archive, part)[list(numbers)]
        with archive.open(part) as stream:
            shape, in_columns, dtype = _read_header(stream, part)
            begin = stream.tell()
        if in_columns or dtype.kind not in "iuf" or not shape:
            return _read(archive, part)[list(numbers)]
        start = _first_byte(archive, part) + begin
        return _rows_at(archive.fp, start, shape, dtype, numbers)


@contextmanager
def _archive(place: Place) -> Iterator[zipfile.ZipFile]:
    """An archive to read from; what is wrong with it becomes a TalkheadError."""
    try:
        with (
            closing(Window(place)) as window,
            zipfile.ZipFile(cast("IO[bytes]", window)) as archive,
        ):
            yield archive
    except FileNotFoundError as error:
        raise TalkheadError("there is no such file") from error
    except OSError as error:
        raise TalkheadError(f"it cannot be read: {error.strerror or told(error)}") from error
    except DAMAGE as error:
        raise TalkheadError(f"it is no sound archive of arrays: {told(error)}") from error


def _first_byte(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> int:
    """Where a part begins in its file, which its local header says."""
    assert archive.fp is not None
    archive.fp.seek(part.header_offset + 26)
    lengths = archive.fp.read(4)
    return (
        part.header_offset + 30 + sum(int.from_bytes(lengths[i : i + 2], "little") for i in (0, 2))
    )


def _rows_at(
    file: IO[bytes] | None,
    start: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    numbers: Sequence[int],
) -> np.ndarray:
    assert file is not None
    count = int(np.prod(shape[1:]))
    rows = []
    for number in numbers:
        if not 0 <= number < shape[0]:
            raise IndexError(f"there is no row {number}")
        file.seek(start + number * count * dtype.itemsize)
        row = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        rows.append(row.reshape(shape[1:]))  # ValueError where the file ends before
    return np.stack(rows)


def _read(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> np.ndarray:
    if part.file_size > LARGEST:
        raise TalkheadError(f"{shown(part.filename)} unpacks to {part.file_size >> 30} GB")
    with archive.open(part) as stream:
        shape, in_columns, dtype = _read_header(stream, part)
        count = 1
        for length in shape:  # by Python's numbers, which do not overflow
            count *= length
        if part.file_size - stream.tell() != count * dtype.itemsize:
            raise TalkheadError(f"{shown(part.filename)} has not the length that it promises")
        values = np.frombuffer(stream.read(), dtype)
    return values.reshape(shape, order="F" if in_columns else "C")


def _read_header(
    stream: IO[bytes], part: zipfile.ZipInfo
) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise TalkheadError(f"{shown(part.filename)} is of a version that is not known")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, in_columns, dtype = read(stream)
    except Exception as error:  # numpy parses it as Python, whose tokenizer has errors of its own
        raise TalkheadError(f"{shown(part.filename)} has a damaged header") from error
    if dtype.kind not in KINDS:
        raise TalkheadError(f"{shown(part.filename)} holds neither numbers nor texts")
    if any(length < 0 for length in shape):
        raise TalkheadError(f"{shown(part.filename)} has a damaged header")
    return shape, in_columns, dtype

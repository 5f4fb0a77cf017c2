"""Read and write safetensors files.

Files are read into memory and never mapped: one that another program shortens during a render
would end the process.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from talkhead.errors import TalkheadError, told
from talkhead.io.atomic import atomic_path
from talkhead.schema import Range, fitting, read_dataclass, read_json

LONGEST_HEADER = 16 << 20  # bytes; ours have less than a hundredth of it
LARGEST_FILE = 8 << 30  # bytes; the largest release has half a gigabyte

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Entry:
    """What the header says of one tensor."""

    dtype: str
    shape: Annotated[tuple[Annotated[int, Range(0, 2**40)], ...], Range(0, 8)]
    data_offsets: tuple[int, int]


@dataclass(frozen=True)
class Outline:
    """A file without its numbers: its texts by name, and the shapes of its tensors."""

    metadata: dict[str, str]
    shapes: Shapes


@dataclass(frozen=True, eq=False)
class Stored:
    """A whole file: tensors as they are stored, texts by name, and the SHA-256 of its bytes."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    digest: str


def read_outline(path: Path) -> Outline:
    """Read the header alone.

    Raises FileNotFoundError, and TalkheadError with the reason when this is no safetensors file.
    """
    try:
        return _outline(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TalkheadError(f"it cannot be read: {error.strerror or error}") from error


def read_tensors(path: Path, outline: Outline | None = None) -> Stored:
    """Read all of it, with its outline where that is known; raises like `read_outline`."""
    outline = outline or read_outline(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TalkheadError(f"it cannot be read: {error.strerror or error}") from error
    try:
        tensors = load(data)
    except (SafetensorError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise TalkheadError(told(error)) from error
    return Stored(tensors, outline.metadata, hashlib.sha256(data).hexdigest())


def _outline(path: Path) -> Outline:
    size = path.stat().st_size
    if not path.is_file():  # a pipe or a device could be read for ever
        raise TalkheadError("it is not a file")
    if size > LARGEST_FILE:
        raise TalkheadError(f"it has {size >> 30} GB, more than {LARGEST_FILE >> 30}")
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LONGEST_HEADER, size - 8):
            raise TalkheadError("it does not begin as safetensors files do")
        header = read_json(file.read(length))
    if not isinstance(header, dict):
        raise TalkheadError("its header is not an object")
    metadata = fitting(dict[str, str], header.pop("__metadata__", {}), "__metadata__")
    entries = {name: read_dataclass(Entry, entry) for name, entry in header.items()}
    end = max((entry.data_offsets[1] for entry in entries.values()), default=0)
    if size != 8 + length + end:
        raise TalkheadError(f"it has {size} bytes where its header promises {8 + length + end}")
    return Outline(metadata, {name: entry.shape for name, entry in entries.items()})


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], overwrite: bool = True
) -> None:
    """Write a safetensors file, readable by all who may read a new file here.

    Raises OSError, SafetensorError, and TalkheadError like `atomic_path`.
    """
    with atomic_path(path, overwrite) as partial:
        partial.touch()
        mode = partial.stat().st_mode  # the library would hide the file from others
        save_file(tensors, partial, metadata=metadata)
        partial.chmod(mode)

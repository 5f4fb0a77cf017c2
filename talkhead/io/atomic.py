"""Atomic writing of files: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A place to write to, which becomes `path` when the block ends well and else is removed.

    It lies beside `path`, keeps its ending, and is this process's own: of several that write the
    same file one wins. Errors of the disk are raised as they are.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

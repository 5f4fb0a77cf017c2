"""Processes that begin as copies of this one, so that nothing has to be imported again.

What they run is real in all else: signals, exit codes, and streams that are files or pipes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

FORK = multiprocessing.get_context("fork")


def talkhead(*words: object) -> None:
    """The `talkhead` command with these words."""
    from talkhead.__main__ import main

    sys.argv = ["talkhead", *map(str, words)]
    main()


@contextmanager
def copy(
    run: Callable[..., object], *arguments: object, told: Path, stdin: str = os.devnull
) -> Iterator[tuple[BaseProcess, int]]:
    """A process that calls `run`, and its stdout to be read from; it ends with the context.

    told: the file that gets its stderr. stdin: the file that it reads.
    """
    here, there = os.pipe()
    process = FORK.Process(target=_begin, args=(run, arguments, stdin, there, told))
    process.start()
    os.close(there)
    try:
        yield process, here
    finally:
        process.kill()
        process.join()
        os.close(here)


def read_all(stream: int) -> bytes:
    """What comes until the other side closes its end."""
    with os.fdopen(os.dup(stream), "rb") as file:
        return file.read()


def _begin(
    run: Callable[..., object], arguments: tuple[object, ...], stdin: str, stdout: int, told: Path
) -> None:
    os.dup2(os.open(stdin, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.close(stdout)
    os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT), 2)
    sys.stdin = os.fdopen(0)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    run(*arguments)

"""Processes that begin as copies of one that has imported what they need, and done nothing else.

A copy of the process of the tests could wait forever for threads, which no fork takes along. What
they run is real in all else: signals, exit codes, and streams that are files or pipes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

COPIES = multiprocessing.get_context("forkserver")
COPIES.set_forkserver_preload(
    ["talkhead.cli", "talkhead.animation.live", "talkhead.studio.server", "talkhead.training.train"]
)


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
    here, there = COPIES.Pipe(duplex=False)
    environment = dict(os.environ)
    process = COPIES.Process(target=_begin, args=(run, arguments, environment, stdin, there, told))
    process.start()
    there.close()
    try:
        yield process, here.fileno()
    finally:
        process.kill()
        process.join()
        here.close()


def read_all(stream: int) -> bytes:
    """What comes until the other side closes its end."""
    with os.fdopen(os.dup(stream), "rb") as file:
        return file.read()


def _begin(
    run: Callable[..., object],
    arguments: tuple[object, ...],
    environment: dict[str, str],
    stdin: str,
    stdout: Connection,
    told: Path,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(stdin, os.O_RDONLY), 0)
    os.dup2(stdout.fileno(), 1)
    stdout.close()
    os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT), 2)
    sys.stdin = os.fdopen(0)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    run(*arguments)

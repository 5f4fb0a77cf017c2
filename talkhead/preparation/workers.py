"""Videos extracted one after the other, or by several processes."""

from __future__ import annotations

import functools
from collections.abc import Generator, Sequence

import cv2
import torch

from talkhead.errors import TalkheadError
from talkhead.faces.finder import FaceFinder
from talkhead.preparation.extract import Extract, extract
from talkhead.preparation.options import PrepareOptions
from talkhead.preparation.sources import Source
from talkhead.processes import in_processes

Made = tuple[Source, Extract | str]


def extract_all(sources: Sequence[Source], options: PrepareOptions) -> Generator[Made]:
    """Every video with what became of it, or with why it failed; in any order.

    Raises OSError for what the disk says, TalkheadError when a process is ended from outside.
    """
    if options.workers == 1 or len(sources) < 2:
        yield from (_extract(source, options) for source in sources)
        return
    tasks = [(source, options) for source in sources]
    count = min(options.workers, len(sources))
    yield from in_processes(tasks, _extract, count, _one_thread)


def _extract(source: Source, options: PrepareOptions) -> Made:
    try:
        return source, extract(source, options, _finder(options.device))
    except TalkheadError as error:
        return source, str(error)


def _one_thread() -> None:
    """Several processes use the cores already."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


@functools.cache
def _finder(device: str) -> FaceFinder:
    """Of a process, which loads its networks once."""
    return FaceFinder(device)

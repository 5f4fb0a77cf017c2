"""Videos extracted one after the other, or by several processes."""

from __future__ import annotations

import functools
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import cv2
import torch

from talkhead.errors import TalkheadError
from talkhead.faces.finder import FaceFinder
from talkhead.interrupts import ENDING
from talkhead.preparation.extract import Extract, extract
from talkhead.preparation.options import PrepareOptions
from talkhead.preparation.sources import Source

Made = tuple[Source, Extract | str]


def extract_all(sources: Sequence[Source], options: PrepareOptions) -> Iterator[Made]:
    """Every video with what became of it, or with why it failed; in any order.

    Raises OSError for what the disk says, TalkheadError when a process is ended from outside.
    """
    if options.workers == 1 or len(sources) < 2:
        finder = FaceFinder(options.device)
        yield from (_extract(source, options, finder) for source in sources)
        return
    # Spawned, not forked: the caller may hold threads (torch) that a fork would break.
    context = multiprocessing.get_context("spawn")
    count = min(options.workers, len(sources))
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker) as pool:
        waiting: list[Future[Made]] = [
            pool.submit(_extract_apart, source, options) for source in sources
        ]
        try:
            for finished in as_completed(waiting):
                yield finished.result()
        except BrokenProcessPool as error:
            raise TalkheadError(
                "a worker was killed, perhaps for want of memory; run the same command again, with "
                f"fewer than {options.workers} workers: it goes on"
            ) from error
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _extract(source: Source, options: PrepareOptions, finder: FaceFinder) -> Made:
    try:
        return source, extract(source, options, finder)
    except TalkheadError as error:
        return source, str(error)


def _begin_worker() -> None:
    """One thread; Ctrl-C, which reaches all processes of a terminal, is for the parent alone."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for number in set(ENDING) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)


@functools.cache
def _finder(device: str) -> FaceFinder:
    """Of a worker, which loads its networks once."""
    return FaceFinder(device)


def _extract_apart(source: Source, options: PrepareOptions) -> Made:
    return _extract(source, options, _finder(options.device))

"""Work that is prepared ahead, in order: by threads, or by processes of their own."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
from torch.utils.data import DataLoader, Dataset

from talkhead.errors import TalkheadError
from talkhead.interrupts import ENDING

T = TypeVar("T")

AHEAD = 3  # that are ready while one is being used, besides those in work


def from_threads(prepare: Callable[[int], T], first: int, workers: int) -> Generator[T, None, None]:
    """prepare(first), prepare(first + 1), ... endlessly."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for number in itertools.count(first):
                waiting.append(pool.submit(prepare, number))
                if len(waiting) == AHEAD + workers:
                    yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def from_processes(
    prepare: Callable[[int], T], first: int, workers: int
) -> Generator[T, None, None]:
    """The same where Python's lock would hold threads up; by threads where no process can fork.

    Forked processes share this one's memory as it is now. They must not touch a GPU. Raises
    TalkheadError when one of them is ended from outside.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        yield from from_threads(prepare, first, workers)
        return
    cv2.setNumThreads(1)  # a child would wait for threads of its pool, which no fork takes along
    loader = DataLoader(
        Prepared(prepare),
        batch_size=None,
        sampler=itertools.count(first),
        num_workers=max(1, workers),
        worker_init_fn=_leave_interrupts,
        multiprocessing_context="fork",
    )
    results = iter(loader)
    try:
        while True:
            result = next(results)
            if isinstance(result, TalkheadError):
                raise result
            yield result
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TalkheadError(
            "a process that prepares batches was ended, perhaps for want of (shared) memory; "
            "use fewer --workers or a smaller --batch-size"
        ) from error
    finally:
        del results  # ends its processes now, not when a traceback lets go of this frame


class Prepared(Dataset[T | TalkheadError]):
    """Results by number; a known error is one."""

    def __init__(self, prepare: Callable[[int], T]) -> None:
        self.prepare = prepare

    def __getitem__(self, number: int) -> T | TalkheadError:
        try:
            return self.prepare(number)
        except TalkheadError as error:
            return error


def _leave_interrupts(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the one that asked for work decides."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

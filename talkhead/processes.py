"""Work that several processes share."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from talkhead.errors import TalkheadError
from talkhead.interrupts import ENDING

T = TypeVar("T")


def in_processes(
    tasks: Sequence[tuple[object, ...]],
    work: Callable[..., T],
    workers: int,
    begin: Callable[[], None] | None = None,
    killed: str = "",
) -> Generator[T]:
    """What `work` makes of the arguments of each task, in the order in which it is done.

    begin: is called in every process first. When the caller ends early, processes are terminated.
    killed: what to say when one is killed, other than that fewer workers take less memory.

    Raises what `work` raises, and TalkheadError when a process is killed from outside.
    """
    # Spawned, not forked: the caller may hold threads (torch) that a fork would break.
    context, others = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(begin,)
    ) as pool:
        waiting: list[Future[T]] = [pool.submit(work, *task) for task in tasks]
        try:
            for finished in as_completed(waiting):
                yield finished.result()
        except BrokenProcessPool as error:
            raise TalkheadError(
                killed
                or "a worker was killed, perhaps for want of memory; run the same command again "
                f"with fewer than {workers} workers"
            ) from error
        except BaseException:
            for worker in multiprocessing.active_children():
                if worker not in others:
                    worker.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(begin: Callable[[], None] | None) -> None:
    """Ctrl-C, which reaches all processes of a terminal, is for the parent alone."""
    for number in set(ENDING) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    if begin is not None:
        begin()

"""Work in several processes: whose are ended when the caller ends early."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import closing

from talkhead.processes import in_processes


def number(value: int) -> int:
    return value


def test_ending_early_leaves_other_processes_alone() -> None:
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    try:
        with closing(in_processes([(1,), (2,)], number, 1)) as done:
            assert next(done) in (1, 2)  # whichever is done first
        assert other.is_alive()
    finally:
        other.terminate()
        other.join()

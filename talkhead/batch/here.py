"""Render the tasks of a batch in this process: one engine per device."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import torch

from talkhead.batch.options import BatchOptions
from talkhead.batch.plan import Task
from talkhead.batch.results import Result
from talkhead.batch.schedule import Schedule
from talkhead.batch.worker import Worker
from talkhead.device import choose_device
from talkhead.errors import TalkheadError


def devices_for(options: BatchOptions) -> list[str]:
    """The device of every worker in one process: all GPUs in turn, or the one that is asked for.

    Raises TalkheadError for one that is not there.
    """
    if options.device in ("auto", "cuda") and torch.cuda.is_available():
        devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    else:
        devices = [str(choose_device(options.device))]
    count = options.workers or len(devices)
    if count > 1 and options.compiled:  # CUDA graphs belong to the thread that recorded them
        raise TalkheadError("several workers in one process cannot compile; add --engine ray")
    return [devices[number % len(devices)] for number in range(count)]


def run_here(
    devices: Sequence[str], tasks: Sequence[Task], folder: Path, options: BatchOptions
) -> Generator[Result]:
    """The results of all tasks, as they come; one worker for each of `devices`."""
    schedule = Schedule(tasks)
    if len(devices) > 1:
        yield from _in_threads(schedule, folder, options, devices)
        return
    worker = Worker(folder, replace(options, device=devices[0]))
    while task := schedule.take(0):
        yield worker.do(task)


class _Ended(BaseException):
    """Ends a render in a thread when the batch ends early; what is drawn by then is kept."""


def _in_threads(
    schedule: Schedule, folder: Path, options: BatchOptions, devices: Sequence[str]
) -> Iterator[Result]:
    ending = threading.Event()

    def check(stage: str, done: int, total: int | None) -> None:
        if ending.is_set():
            raise _Ended

    workers = [Worker(folder, replace(options, device=device), check) for device in devices]
    running: dict[Future[Result], int] = {}
    idle: Iterable[int] = range(len(workers))
    with ThreadPoolExecutor(len(workers)) as pool:
        try:
            while True:
                for number in idle:
                    if task := schedule.take(number):
                        running[pool.submit(workers[number].do, task)] = number
                if not running:
                    return
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                idle = [running.pop(future) for future in ended]
                yield from [future.result() for future in ended]
        finally:
            ending.set()

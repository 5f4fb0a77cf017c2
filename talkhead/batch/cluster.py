"""Render the tasks of a batch on a Ray cluster: the only part of talkhead that knows Ray."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from talkhead.batch.options import BatchOptions
from talkhead.batch.plan import Task, after_loss
from talkhead.batch.results import Result, Results
from talkhead.batch.schedule import Schedule
from talkhead.batch.worker import Worker
from talkhead.errors import TalkheadError, told
from talkhead.interrupts import handlers_kept

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0  # within which a cluster must answer
PATIENCE_SECONDS = 60.0  # without any news, after which a person is told
LOSSES = 5  # how often a row's worker may die before the row is taken for the reason
STORE = 100 * 2**20  # bytes of Ray's own memory where it runs for us alone: little is sent


@contextmanager
def cluster(options: BatchOptions) -> Iterator[Any]:
    """Ray, connected while entered: to the cluster at an address, or to one started here for us.

    Raises TalkheadError where Ray is not installed or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
    try:
        import ray
    except ImportError as error:
        raise TalkheadError(
            'Ray is not installed; install it with `pip install "talkhead[ray]"`, on every machine '
            "of the cluster"
        ) from error
    with handlers_kept():  # Ray has its own
        _connect(ray, options.address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR}
    if address is None:
        ray.init("local", include_dashboard=False, object_store_memory=STORE, **quiet)
        return
    try:
        if address != "auto":
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
        ray.init(address, **quiet)
    except ValueError as error:
        raise TalkheadError(
            f"{address!r} is no address of a Ray cluster; write auto, HOST:PORT or ray://HOST:PORT"
        ) from error
    except (OSError, RuntimeError) as error:
        raise TalkheadError(
            f"no Ray cluster answers at {address} ({told(error)}); start one with `ray start "
            "--head`, or leave --address for one on this machine"
        ) from error


def resources(ray: Any, options: BatchOptions) -> tuple[int, dict[str, float], str]:
    """How many workers there are, what each takes of the cluster, and its device.

    One for each GPU; without any, or with `--device cpu`, one for each machine, sharing its cores.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [node["CPU"] for node in nodes if node.get("CPU")]
    gpus = 0.0 if options.device == "cpu" else sum(node.get("GPU", 0) for node in nodes)
    if options.device.startswith("cuda:") or (options.device == "cuda" and not gpus):
        why = "Ray deals out the GPUs" if gpus else "the cluster has no GPU"
        raise TalkheadError(f"cannot use {options.device}: {why}; leave --device, or say cpu")
    if gpus:
        count = options.workers or int(gpus)
        return count, {"num_gpus": min(1.0, gpus / count), "num_cpus": 1}, "cuda"
    if not cores:
        raise TalkheadError("the Ray cluster has neither GPUs nor CPUs; start machines that work")
    count = options.workers or len(cores)
    share = min(cores) * len(cores) / count
    return count, {"num_cpus": int(share) if share >= 1 else share}, options.device


class Workers:
    """The workers of a batch on a cluster. One that is lost is replaced, and its row run again.

    What rows read and write must lie at the same place on every machine.
    """

    def __init__(self, ray: Any, results: Results, options: BatchOptions) -> None:
        self._ray = ray
        self._results = results
        count, needs, device = resources(ray, options)
        folder, options = results.folder.absolute(), replace(options, device=device)
        self._begin = lambda: ray.remote(Worker).options(**needs).remote(folder, options)
        self._workers: dict[int, Any] = {}
        self._running: dict[Any, tuple[int, Task | None]] = {}
        self._idle: set[int] = set()
        self._lost: Counter[int] = Counter()
        self._failed_starts = 0
        for number in range(count):
            self._start(number)

    def _start(self, number: int) -> None:
        worker = self._workers[number] = self._begin()
        self._running[worker.__ray_ready__.remote()] = number, None

    def run(self, tasks: Sequence[Task]) -> Generator[Result]:
        """The results of all tasks, as they come."""
        schedule, count = Schedule(tasks), len(tasks)
        while count:
            for number in sorted(self._idle):
                if (task := schedule.take(number)) is not None:
                    self._idle.discard(number)
                    answer = self._workers[number].do.remote(_absolute(task))
                    self._running[answer] = number, task
            outcome = self._next()
            if isinstance(outcome, Task):
                schedule.give_back(outcome)
            elif outcome is not None:
                count -= 1
                yield outcome

    def _next(self) -> Result | Task | None:
        """The next result; a task that is to be run again; None for other news."""
        ready, _ = self._ray.wait([*self._running], num_returns=1, timeout=PATIENCE_SECONDS)
        if not ready:
            if not any(node["Alive"] for node in self._ray.nodes()):
                raise TalkheadError(
                    "the Ray cluster has no machine left; start it again, then run the same command"
                )
            if all(task is None for _, task in self._running.values()):
                log.warning("no worker has started yet: the Ray cluster is busy, or too small")
            return None
        number, task = self._running.pop(ready[0])
        errors = self._ray.exceptions
        try:
            result = self._ray.get(ready[0])
        except (errors.RayActorError, errors.OutOfMemoryError) as error:
            return self._replace(number, task, error)
        except errors.RayError as error:
            raise TalkheadError(f"a worker on the Ray cluster failed: {told(error)}") from error
        self._idle.add(number)
        return result if task is not None else None

    def _replace(self, number: int, task: Task | None, error: Exception) -> Result | Task | None:
        """Start another worker in place of one that is lost; what becomes of its task."""
        if task is None:
            self._failed_starts += 1
            if self._failed_starts > LOSSES * len(self._workers):
                cause = getattr(error, "cause", None) or error
                raise TalkheadError(
                    f"no worker starts on the Ray cluster ({told(cause)}); is the same talkhead "
                    "installed on every machine?"
                ) from error
        self._start(number)
        if task is None:
            return None
        row = task.job.row
        self._lost[row] += 1
        if self._lost[row] > LOSSES:
            why = f"its worker died {self._lost[row]} times; it may take more memory than there is"
            return replace(task.waiting, status="failed", error=why)
        log.warning("row %d: its worker was lost; it is run again", row)
        return after_loss(task, self._results)


def _absolute(task: Task) -> Task:
    """The task as a process in another folder understands it."""
    job = task.job
    weights = job.weights.absolute() if job.weights else None
    sources, driving = tuple(path.absolute() for path in job.sources), job.driving.absolute()
    return replace(task, job=replace(job, sources=sources, driving=driving, weights=weights))

"""Which worker renders which task next: those with one driver stay together."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

from talkhead.animation.driving import motion_settings
from talkhead.batch.plan import Task

Group = tuple[Hashable, ...]


def same_driver(task: Task) -> Group:
    """Equal for tasks whose driver is read only once where one worker renders them in a row.

    Weights come first: loading others takes longest.
    """
    job = task.job
    return job.weights, job.driving, motion_settings(job.settings)


class Schedule:
    """Tasks for any number of workers.

    A worker keeps to one driver and to one set of weights while there are tasks with them. When no
    driver is left that nobody works on, it helps where most is left to do.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._groups: dict[Group, deque[Task]] = {}
        self._current: dict[int, Group] = {}
        for task in tasks:
            self._groups.setdefault(same_driver(task), deque()).append(task)

    def take(self, worker: int) -> Task | None:
        """The next task of a worker; None when nothing is left."""
        group = self._current.get(worker, ())
        if not self._groups.get(group):
            left = [group for group, tasks in self._groups.items() if tasks]
            if not left:
                return None
            self._current[worker] = group = self._best(left, worker)
        return self._groups[group].popleft()

    def _best(self, groups: list[Group], worker: int) -> Group:
        weights = self._current.pop(worker, (None,))[0]
        taken = set(self._current.values())
        return min(groups, key=lambda g: (g in taken, g[0] != weights, -len(self._groups[g])))

    def give_back(self, task: Task) -> None:
        """A task that was not done; it comes next."""
        self._groups[same_driver(task)].appendleft(task)

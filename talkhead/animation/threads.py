"""Background threads: prefetching before a consumer, writing behind a producer."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL = 0.1  # seconds between looks at whether the other side has given up


def _thread(run: Callable[..., None], *arguments: object) -> threading.Thread:
    """A thread with the context variables of its maker, by which warnings are told apart."""
    context = contextvars.copy_context()
    return threading.Thread(target=context.run, args=(run, *arguments), daemon=True)


class Prefetcher(Generic[T]):
    """Iterate over `items` on another thread, at most `depth` ahead; errors arrive in order.

    Use as a context manager: leaving it stops the thread, also half way. One that waits for an
    item which may never come is left behind after `patience` seconds (None: waited for).
    """

    def __init__(self, items: Iterable[T], depth: int, patience: float | None = None) -> None:
        self._patience = patience
        self._queue: Queue[tuple[T | None, BaseException | None]] = Queue(depth)
        self._stop = threading.Event()
        self._thread = _thread(self._run, items)

    def _run(self, items: Iterable[T]) -> None:
        end: BaseException = StopIteration()
        try:
            for item in items:
                if not self._put((item, None)):
                    return
        except BaseException as error:
            end = error
        self._put((None, end))

    def _put(self, entry: tuple[T | None, BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=_POLL)
            except Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[T]:
        while True:
            item, error = self._queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # an entry holds an item or an error

    def __enter__(self) -> Prefetcher[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._patience)


class DroppingPrefetcher(Prefetcher[T]):
    """Like `Prefetcher`, but never waits for room: the oldest item that nobody took is left out.

    For what cannot be held up, such as a camera. left_out: how many items were.
    """

    left_out = 0

    def _put(self, entry: tuple[T | None, BaseException | None]) -> bool:
        if entry[1] is None:  # the end, or an error, comes after what is there
            with contextlib.suppress(Empty):  # someone just took it
                while self._queue.full():
                    self._queue.get_nowait()
                    self.left_out += 1
        return super()._put(entry)


class BackgroundWriter(Generic[T]):
    """Hand items to `consume` on another thread; at most `depth` wait.

    Use as a context manager: leaving it waits for what was handed over, or drops it when an
    exception is passing through. An error of `consume` is raised by the next `put` or on leaving.
    """

    def __init__(self, consume: Callable[[T], None], depth: int) -> None:
        self._consume = consume
        self._queue: Queue[T | None] = Queue(depth)
        self._error: BaseException | None = None
        self._drop = False
        self._thread = _thread(self._run)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None and not self._drop:
                try:
                    self._consume(item)
                except BaseException as error:
                    self._error = error

    def put(self, item: T) -> None:
        """Wait for room, then hand over."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def __enter__(self) -> BackgroundWriter[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._drop = kind is not None
        interrupted = self._wait()
        if interrupted is not None:
            raise interrupted
        if kind is None and self._error is not None:
            raise self._error

    def _wait(self) -> KeyboardInterrupt | None:
        """Wait until nothing is consumed any more, also when Ctrl-C comes.

        What is under way must end before what it writes to is closed. A second Ctrl-C is raised at
        once.
        """
        interrupted = None
        while True:
            try:
                self._queue.put(None)
                self._thread.join()
                return interrupted
            except KeyboardInterrupt as error:
                if interrupted is not None:
                    raise
                interrupted, self._drop = error, True

"""Signals that end a program: SIGTERM and SIGHUP are treated like Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
PATIENCE = 10.0  # seconds that saving may take before a further signal ends the program at once
AGAIN = 0.002  # seconds after which a signal that came too early is sent again


class Interrupted(KeyboardInterrupt):
    """The program was told to end by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class CalledFromC:
    """Base of objects whose methods a library in C calls, which loses the exceptions they raise.

    A signal that comes within such a method takes effect when it is over.
    """


class EndInOrder:
    """A signal handler: the first signal raises Interrupted, those that follow do nothing.

    So what the exception sets in motion (saving frames, removing partial files) is not interrupted
    itself. Only after `PATIENCE` seconds a further signal ends the program where it stands.

    number: of the signal that came; None before.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._came = 0.0
        self._repeats = False

    def install(self) -> None:
        """Handle every ending signal that is not ignored, as `nohup` has it for SIGHUP."""
        for number in ENDING:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN and not isinstance(handler, EndInOrder):
                signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise Interrupted for the first signal."""
        if self.number is None and _is_called_from_c(frame):
            if not self._repeats:  # starting a thread waits, and signals come meanwhile
                self._repeats = True
                threading.Thread(target=self._repeat, args=(number,), daemon=True).start()
        elif self.number is None:
            self.number, self._came = number, time.monotonic()
            raise Interrupted(number)
        elif time.monotonic() - self._came > PATIENCE:
            os._exit(128 + number)

    def _repeat(self, number: int) -> None:
        """Send a signal that came too early again, until it has taken effect."""
        while True:
            time.sleep(AGAIN)
            if self.number is not None:
                return  # whoever handles it next may not be ready for one more
            signal.raise_signal(number)


def _is_called_from_c(frame: FrameType | None) -> bool:
    """Whether a signal came within what C calls, also while the handler sees to an earlier one."""
    while frame is not None and frame.f_globals.get("__name__") in (__name__, threading.__name__):
        frame = frame.f_back
    return frame is not None and isinstance(frame.f_locals.get("self"), CalledFromC)


def interruption() -> Interrupted | None:
    """The signal that told this program to end, as far as `EndInOrder` handles them."""
    handlers = [signal.getsignal(number) for number in ENDING]
    numbers = [handler.number for handler in handlers if isinstance(handler, EndInOrder)]
    return next((Interrupted(number) for number in numbers if number is not None), None)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """The whole of a program: it exits with 128 + the number of the signal that ended it.

    Python's own end, after the block, is not interrupted any more.
    """
    EndInOrder().install()
    try:
        yield
    except KeyboardInterrupt as error:
        sys.exit(128 + getattr(error, "number", signal.SIGINT))
    except SystemExit as ended:
        stopped = interruption()  # which typer takes for Ctrl-C, whatever it was
        if stopped is not None and ended.code:
            sys.exit(128 + stopped.number)
        raise
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def handlers_kept() -> Iterator[dict[int, Any]]:
    """The handlers of ending signals, which are in place again when the block ends.

    None outside the main thread, where signals raise no exceptions.
    """
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in ENDING if is_main}
    try:
        yield handlers
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


@contextmanager
def held_off() -> Iterator[None]:
    """Ending signals that come during the block take effect when it ends.

    For short work that must not stop half way.
    """
    waiting: list[int] = []
    try:
        with handlers_kept() as handlers:
            for number, handler in handlers.items():
                if handler not in (None, signal.SIG_IGN):
                    signal.signal(number, lambda number, _: waiting.append(number))
            yield
    finally:
        if waiting:
            signal.raise_signal(waiting[0])

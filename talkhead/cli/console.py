"""What all commands share: plain errors, the progress bar, printing."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

import typer

from talkhead.errors import sentence
from talkhead.interrupts import Interrupted, interruption
from talkhead.printable import printable

if TYPE_CHECKING:
    from talkhead.progress import Progress


class CurrentStderr(logging.StreamHandler):
    """Writes to `sys.stderr` of the moment.

    A live view puts its own in place, above which messages then appear. Where nobody listens,
    messages are lost.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message to where stderr is now."""
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """The message, without control characters."""
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: stderr is closed or full, so there is nowhere to say it."""


@contextlib.contextmanager
def messages(debug: bool, quiet: bool) -> Iterator[None]:
    """Show our own messages on stderr; those of libraries only in debugging."""
    root, ours, handler = logging.getLogger(), logging.getLogger("talkhead"), CurrentStderr()
    before = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING if debug else logging.CRITICAL)
    ours.setLevel(logging.DEBUG if debug else logging.ERROR if quiet else logging.WARNING)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])


@contextlib.contextmanager
def plain_errors(debug: bool, quiet: bool) -> Iterator[None]:
    """One sentence and exit code 1 for what went wrong; 128 + its number for a signal."""
    try:
        with messages(debug, quiet):
            yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt as error:
        say("interrupted")
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        raise typer.Exit(128 + number) from None
    except Exception as error:
        stopped = interruption()  # a library may have made another error of it
        if debug:
            raise
        say("interrupted" if stopped else f"error: {sentence(error)}")
        raise typer.Exit(128 + stopped.number if stopped else 1) from None


@contextlib.contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A bar on stderr with rate and time left; nothing where nobody looks."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks or bars.tasks[tasks[stage]].completed > done:
                tasks[stage] = bars.add_task(escape(printable(stage)), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield update


def show(result: Any, quiet: bool, aside: bool = False) -> None:
    """Results go to stdout: a line for people, JSON for scripts; aside, where video goes there."""
    stream = sys.stderr if aside else sys.stdout
    if not isinstance(result, str):
        write_line(json.dumps(result), stream)
    elif not quiet:
        write_line(printable(result), stream)


def say(text: str) -> None:
    """Words to people, on stderr."""
    write_line(printable(text), sys.stderr)


def write_line(text: str, stream: TextIO | None) -> None:
    """Print, unless nobody listens any more: the work is done all the same."""
    if stream is None:
        return
    code = getattr(stream, "encoding", None) or "utf-8"  # which may lack letters of a file's name
    try:
        typer.echo(text.encode(code, "backslashreplace").decode(code), file=stream)
    except OSError:
        # Python would try again, and complain, when it closes the stream at the end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

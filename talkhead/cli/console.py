"""What all commands share: options, plain errors, the progress bar, printing."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkhead.errors import TalkheadError, is_out_of_memory

if TYPE_CHECKING:
    from talkhead.progress import Progress


INTERRUPTED = 130
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Log details; show tracebacks.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]


class CurrentStderr(logging.StreamHandler):
    """Writes to `sys.stderr` of the moment: a live view puts its own in place, above which
    messages then appear."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


@contextlib.contextmanager
def plain_errors(debug: bool, quiet: bool) -> Iterator[None]:
    """One sentence and exit code 1 for what went wrong; 130 for Ctrl-C."""
    level = logging.DEBUG if debug else logging.ERROR if quiet else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[CurrentStderr()])
    logging.getLogger("talkhead").setLevel(level)
    try:
        yield
    except TalkheadError as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        if debug:
            raise
        name = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {name}{error.strerror or error}", err=True)
        raise typer.Exit(1) from None
    except Exception as error:
        if debug or isinstance(error, typer.Exit | typer.Abort | typer.BadParameter):
            raise
        if is_out_of_memory(error):
            told = "memory ran out; use a smaller --batch-size, or --device cpu"
        else:
            told = unexpected(error)
        typer.echo(f"error: {told}", err=True)
        raise typer.Exit(1) from None


def unexpected(error: Exception) -> str:
    """A fault of ours, in one line."""
    text = str(error).strip().splitlines()
    detail = f": {text[0]}" if text else ""
    return (
        f"unexpected {type(error).__name__}{detail}; run the command again with --debug and report "
        "what it shows"
    )


@contextlib.contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A bar on stderr with rate and time left; nothing where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
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
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield update


def show(result: Any, quiet: bool, aside: bool = False) -> None:
    """Results go to stdout: a line for people, JSON for scripts; aside, where video goes there."""
    if not isinstance(result, str):
        typer.echo(json.dumps(result), err=aside)
    elif not quiet:
        typer.echo(result, err=aside)

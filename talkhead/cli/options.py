"""Options that several commands share: printing and overwriting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from talkhead.cli.console import plain_errors, progress_bar, show
from talkhead.options import OUTPUT, Option

if TYPE_CHECKING:
    from talkhead.progress import Progress


@dataclass(frozen=True)
class ConsoleOptions:
    """How a command speaks, and whether it may replace files."""

    overwrite: Annotated[bool, Option("Replace existing outputs.", OUTPUT)] = False
    as_json: Annotated[bool, Option("Print the result as JSON.", OUTPUT, ("--json",))] = False
    quiet: Annotated[bool, Option("No progress, only errors.", OUTPUT, ("--quiet", "-q"))] = False
    debug: Annotated[bool, Option("Log details; show tracebacks.", OUTPUT)] = False

    @contextmanager
    def running(self) -> Iterator[Progress | None]:
        """Errors in one sentence and a progress bar while entered."""
        with plain_errors(self.debug, self.quiet), progress_bar(self.quiet) as progress:
            yield progress

    def show(self, facts: Any, words: str, aside: bool = False) -> None:
        """Print a result: facts for scripts, words for people."""
        show(facts if self.as_json else words, self.quiet, aside)

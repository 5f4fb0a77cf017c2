"""What the library says, errors and warnings, in the sentences that the command line prints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from talkhead.errors import TalkheadError, is_out_of_memory

log = logging.getLogger(__name__)

# Who hears the warnings of the work at hand; threads of that work inherit it.
_hear: ContextVar[Callable[[str], None] | None] = ContextVar("hear", default=None)


def sentence_of(error: Exception, folder: Path) -> str:
    """One sentence for a person; files of the session are called as their owner calls them.

    folder: of the session, whose place on disk is nobody's business.
    """
    if isinstance(error, TalkheadError):
        return _without_folder(str(error), folder)
    log.error("unexpected %s", type(error).__name__, exc_info=error)
    if is_out_of_memory(error):
        return "memory ran out; choose a smaller size or part, or stop other renders"
    if isinstance(error, OSError):
        return _without_folder(f"{error.filename or 'the disk'}: {error.strerror or error}", folder)
    return f"unexpected {type(error).__name__}; what led to it stands in the terminal: report it"


@contextmanager
def warnings_of(folder: Path) -> Iterator[list[str]]:
    """A list to which the library's warnings are added, each once, while this is entered.

    Only those of the work that is done inside. It needs `Warnings` to be in place.
    """
    texts: list[str] = []

    def hear(text: str) -> None:
        plain = _without_folder(text, folder)
        if plain not in texts:
            texts.append(plain)

    token = _hear.set(hear)
    try:
        yield texts
    finally:
        _hear.reset(token)


class Warnings(logging.Handler):
    """Passes the library's warnings to `warnings_of`. Use as a context manager."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning for whoever waits for it."""
        hear = _hear.get()
        if hear is not None and record.levelno == logging.WARNING:
            hear(record.getMessage())

    def __enter__(self) -> Warnings:
        logging.getLogger("talkhead").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("talkhead").removeHandler(self)


def _without_folder(text: str, folder: Path) -> str:
    """`FOLDER/3/photo.jpg` -> `photo.jpg`."""
    head, *rest = text.split(f"{folder}/")
    return head + "".join(part.partition("/")[2] if part[:1].isdigit() else part for part in rest)

"""What went wrong, in the sentence that the command line prints."""

from __future__ import annotations

import logging
from pathlib import Path

from talkhead.errors import TalkheadError, is_out_of_memory

log = logging.getLogger(__name__)


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


def _without_folder(text: str, folder: Path) -> str:
    """`FOLDER/3/photo.jpg` -> `photo.jpg`."""
    head, *rest = text.split(f"{folder}/")
    return head + "".join(part.partition("/")[2] if part[:1].isdigit() else part for part in rest)

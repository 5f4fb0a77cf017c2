"""The errors that talkhead raises on purpose, and the one that it explains: no memory left."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


class TalkheadError(Exception):
    """Something that a person can act on. The message is the sentence they read.

    It says what could not be done, where (file, frame, option) and what to do next. The command
    line prints it and exits with 1; a traceback is shown only with `--debug`.
    """


class Stopped(TalkheadError):
    """Raised by a progress callback to end a render early.

    What was drawn until then becomes the output; with nothing drawn there is none.
    """


@contextmanager
def disk_explained(
    what: str, advice: str, kind: type[TalkheadError] = TalkheadError
) -> Iterator[None]:
    """What a disk says during the block, as one of our sentences: what failed, why, what to do."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what} ({error.strerror or error}); {advice}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out, the machine's or a GPU's."""
    return (
        isinstance(error, MemoryError) or _is_a_gpus(error) or "DefaultCPUAllocator" in str(error)
    )


def _is_a_gpus(error: BaseException) -> bool:
    """Whether it is torch's error, which need not be imported here, of a full GPU."""
    return type(error).__name__ == "OutOfMemoryError"


def shown(value: Any) -> str:
    """A value from a file as a part of a sentence: short, on one line, without control codes."""
    if isinstance(value, int) and value.bit_length() > 1000:  # Python refuses to print more digits
        return f"a number of {value.bit_length()} bits"
    text = _SHORT.repr(value)
    return text if text.isprintable() else ascii(text)


def told(error: BaseException) -> str:
    """What a library says of an error as a part of a sentence: its first line, and no more.

    The lines after it are traces or advice that is not for our readers.
    """
    text = str(error).strip()
    first = text.splitlines()[0].strip() if text else type(error).__name__
    first = first if first.isprintable() else ascii(first)[1:-1]
    return first if len(first) <= 200 else f"{first[:200]}..."


def sentence(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, TalkheadError):
        return " ".join(str(error).splitlines())
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}"
    if is_out_of_memory(error):
        elsewhere = ", or --device cpu" if _is_a_gpus(error) else ""
        return f"memory ran out; use a smaller --size or --batch-size{elsewhere}"
    text = str(error).strip().splitlines()  # a fault of ours
    detail = f": {text[0]}" if text else ""
    return (
        f"unexpected {type(error).__name__}{detail}; run the command again with --debug and report "
        "what it shows"
    )

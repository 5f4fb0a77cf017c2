"""Texts and tables (CSV) that people write: the only place that reads them."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from talkhead.errors import TalkheadError, told

MOST_BYTES = 1 << 28


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises TalkheadError for a file that is missing, no text in UTF-8, or above `MOST_BYTES`.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TalkheadError(f"{path} is too large for a list")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise TalkheadError(f"there is no file {path}") from error
    except OSError as error:
        raise TalkheadError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TalkheadError(f"{path} is not text in UTF-8; save it as that") from error


def read_csv(path: Path) -> list[tuple[int, list[str]]]:
    """Every row that is not empty: its line, from 1, and its cells without space around them.

    Raises TalkheadError like `read_text`, and for quotes that do not close.
    """
    rows = csv.reader(StringIO(read_text(path)), strict=True)
    try:
        found = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    except csv.Error as error:
        place = f"{path}, line {rows.line_num}"
        raise TalkheadError(f"{place} is no CSV table ({told(error)}); check its quotes") from error
    return [(line, cells) for line, cells in found if any(cells)]

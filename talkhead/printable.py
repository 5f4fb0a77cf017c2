"""Text for people: names that strangers chose, safe to show; numbers with their nouns."""

from __future__ import annotations

import re

# What would move a terminal's cursor, change colours or the order of letters, or has no encoding.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What Markdown takes for markup; an underscore only at the edge of a word.
MARKUP = re.compile(r"[\\`*\[\]<>|&~]|(?<!\w)_|_(?!\w)")
FORMULA = ("=", "+", "-", "@", "\t")  # how spreadsheets know one


def counted(number: int, noun: str, several: str = "") -> str:
    """A number with its noun; `several` is the plural where that is not `noun` + s.

    >>> counted(1, "clip"), counted(2, "identity", "identities")
    ('1 clip', '2 identities')
    """
    return f"{number} {noun if number == 1 else several or f'{noun}s'}"


def printable(text: str) -> str:
    """The same text with all characters escaped that a terminal would act on."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """The same in one line, tabs and ends of lines escaped as well."""
    return printable(text).replace("\t", "\\t").replace("\n", "\\n")


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return MARKUP.sub(lambda found: f"\\{found[0]}", one_line(text))


def csv_text(text: str) -> str:
    """Text for a cell that no spreadsheet takes for a formula."""
    text = one_line(text)
    return f"'{text}" if text.startswith(FORMULA) else text

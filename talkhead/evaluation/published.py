"""Published results, copied from papers into a CSV file."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from talkhead.errors import TalkheadError, shown
from talkhead.evaluation.metrics.registry import METRICS
from talkhead.evaluation.protocols import PROTOCOLS

FACTS = ("name", "source", "protocol")


@dataclass(frozen=True)
class PublishedRow:
    """name: of the method; source: which table of which paper; values: by metric."""

    name: str
    source: str
    values: dict[str, float]


def read_published(file: Path, protocol: str) -> tuple[PublishedRow, ...]:
    """The rows of a csv that were measured by this protocol.

    Columns: name, source, protocol (a name of `PROTOCOLS`), and any metrics by the names of
    `METRICS`, such as `lpips_vgg` or `akd_published`; an empty cell is a number that the paper
    does not give. Raises TalkheadError for anything else.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            lines = list(csv.DictReader(opened))
    except FileNotFoundError as error:
        raise TalkheadError(f"there is no file of published rows {file}") from error
    except OSError as error:
        raise TalkheadError(f"{file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TalkheadError(f"{file} is not a csv file ({error})") from error
    if not lines:
        raise TalkheadError(f"{file} has no rows; its columns are {', '.join(FACTS)} and metrics")
    columns = set(lines[0])
    if missing := [name for name in FACTS if name not in columns]:
        raise TalkheadError(f"{file} has no column {missing[0]!r}; it needs {', '.join(FACTS)}")
    if strange := sorted(str(name) for name in columns - {*FACTS, *METRICS, None}):
        raise TalkheadError(f"{file} has a column {shown(strange[0])}, which is no metric's name")
    rows = [_read_row(file, number, line) for number, line in enumerate(lines, start=2)]
    return tuple(row for line, row in zip(lines, rows, strict=True) if line["protocol"] == protocol)


def _read_row(file: Path, number: int, line: dict[str, str]) -> PublishedRow:
    where = f"{file}, line {number}"
    if None in line or None in line.values():  # how the library marks rows that differ
        raise TalkheadError(f"{where}: it has not as many fields as the first line")
    if not line["name"]:
        raise TalkheadError(f"{where}: the method has no name")
    if line["protocol"] not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise TalkheadError(f"{where}: no protocol {shown(line['protocol'])}; use {known}")
    if not line["source"]:
        raise TalkheadError(f"{where}: say in `source` where the numbers were published")
    values = {}
    for name in METRICS:
        if line.get(name):
            try:
                values[name] = float(line[name])
            except ValueError:
                values[name] = math.nan
            if not math.isfinite(values[name]):
                raise TalkheadError(f"{where}: {name} is {shown(line[name])}, not a number")
    return PublishedRow(line["name"], line["source"], values)

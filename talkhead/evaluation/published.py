"""Published results, copied from papers into a CSV file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from talkhead.errors import TalkheadError, shown
from talkhead.evaluation.metrics.registry import METRICS
from talkhead.evaluation.protocols import PROTOCOLS
from talkhead.io.text import read_csv

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
    (_, columns), *lines = read_csv(file) or [(1, [])]
    if not lines:
        raise TalkheadError(f"{file} has no rows; its columns are {', '.join(FACTS)} and metrics")
    if missing := [name for name in FACTS if name not in columns]:
        raise TalkheadError(f"{file} has no column {missing[0]!r}; it needs {', '.join(FACTS)}")
    if strange := sorted({*columns} - {*FACTS, *METRICS}):
        raise TalkheadError(f"{file} has a column {shown(strange[0])}, which is no metric's name")
    rows = [_read_row(f"{file}, line {number}", columns, cells) for number, cells in lines]
    return tuple(row for its_protocol, row in rows if its_protocol == protocol)


def _read_row(where: str, columns: list[str], cells: list[str]) -> tuple[str, PublishedRow]:
    """A row and the name of its protocol."""
    if len(cells) != len(columns):
        raise TalkheadError(f"{where}: it has not as many fields as the first line")
    line = dict(zip(columns, cells, strict=True))
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
    return line["protocol"], PublishedRow(line["name"], line["source"], values)

"""The rows of a table of renders, as jobs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from talkhead.animation.paths import refuse_address
from talkhead.animation.settings import RenderSettings
from talkhead.batch.options import BatchOptions
from talkhead.batch.results import Result
from talkhead.errors import TalkheadError, shown
from talkhead.io.atomic import fitting_name
from talkhead.io.text import read_csv
from talkhead.options import OptionField, option_fields
from talkhead.schema import fitting

SOURCE, DRIVING, OUTPUT, WEIGHTS = "source", "driving", "output", "weights"
YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Job:
    """One row: what is rendered, with what, into which file.

    row:     its number, from 1 for the first below the names of the columns.
    sources: one, or those that share a grid.
    output:  below the folder of the results. weights: None: those of the batch.
    """

    row: int
    sources: tuple[Path, ...]
    driving: Path
    output: Path
    settings: RenderSettings
    weights: Path | None


def read_jobs(table: Path, weights: Path | None) -> list[Job | Result]:
    """The rows of a CSV file in UTF-8, in order, or why they are none; empty lines are left out.

    Columns are `source`, `driving` and, where wanted, `output`, `weights` and any setting of
    `animate`, named as its option. Paths are relative to the table's folder. An empty cell is a
    column left out.

    weights: of rows that name none.

    Raises TalkheadError where the table itself cannot be used.
    """
    names, *rows = [cells for _, cells in read_csv(table)] or [[]]
    columns = [name.lower().replace("_", "-") for name in names]
    _check_columns(table, columns)
    if not rows:
        raise TalkheadError(f"{table} has no rows below the names of its columns; add some")
    return [_job(row, columns, cells, table.parent, weights) for row, cells in enumerate(rows, 1)]


def _check_columns(table: Path, columns: list[str]) -> None:
    """Raise TalkheadError for columns that are missing, unknown or there twice."""
    for name in (SOURCE, DRIVING):
        if name not in columns:
            found = ", ".join(columns) or "nothing"
            raise TalkheadError(
                f"{table} has no column {name}; its first line must name the columns, with commas "
                f"between them, and holds {shown(found)}"
            )
    known = [SOURCE, DRIVING, OUTPUT, WEIGHTS, *setting_columns()]
    for_all = [field.name.replace("_", "-") for field in option_fields(BatchOptions)]
    for name in columns:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"do you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            if name in for_all:
                hint = f"give --{name} to the command, for all rows"
            raise TalkheadError(
                f"{table} has a column {shown(name)}, which is no setting of a row; {hint}"
            )
        if columns.count(name) > 1:
            raise TalkheadError(f"{table} has two columns {name}; remove one of them")


@cache
def setting_columns() -> dict[str, OptionField]:
    """The settings of a render by the names of their options."""
    return {field.flag.removeprefix("--"): field for field in option_fields(RenderSettings)}


def _job(
    number: int, columns: list[str], row: list[str], folder: Path, weights: Path | None
) -> Job | Result:
    cells = dict(zip(columns, row, strict=False))
    try:
        if len(row) != len(columns):
            raise TalkheadError(
                f"it has {len(row)} values for {len(columns)} columns; put quotes around a value "
                "that holds commas"
            )
        photo, video = (_input(cells, name, folder) for name in (SOURCE, DRIVING))
        return Job(
            number,
            (photo,),
            video,
            _output(cells.get(OUTPUT) or usual_name(photo, video)),
            RenderSettings(**dict(_settings(cells))),
            _input(cells, WEIGHTS, folder) if cells.get(WEIGHTS) else weights,
        )
    except TalkheadError as error:
        source, driving, output = (cells.get(column, "") for column in (SOURCE, DRIVING, OUTPUT))
        return Result(number, "failed", source, driving, output, error=str(error))


def usual_name(source: Path, driving: Path) -> str:
    """What an output is called that nobody has named."""
    return fitting_name(f"{source.stem}--{driving.stem}", ".mp4")


def _input(cells: dict[str, str], name: str, folder: Path) -> Path:
    text = cells[name]
    if not text:
        raise TalkheadError(f"it names no {name}; fill that cell")
    if "\0" in text:
        raise TalkheadError(f"its {name} {shown(text)} is no path; check the table")
    refuse_address(text)
    return folder / text


def _output(text: str) -> Path:
    """A place below the folder of the results, and nowhere else: a table may come from others."""
    path = Path(text)
    if path.is_absolute() or ".." in path.parts or "\0" in text or not path.name:
        raise TalkheadError(
            f"the output {shown(text)} is no place in the folder of the results; give a name in it"
        )
    if path.parts[0].startswith(".") or path.name.startswith("."):
        raise TalkheadError(f"the output {shown(text)} is hidden; give a name without a dot before")
    return path


def _settings(cells: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Names and values of the settings that a row gives."""
    for column, field in setting_columns().items():
        if text := cells.get(column):
            yield field.name, _value(field.hint, text)


def _value(hint: Any, text: str) -> Any:
    """A text as the kind of value that a setting takes; as it is where none fits, to be refused."""
    for read in (lambda word: YES_OR_NO[word.lower()], int, float, str):
        with suppress(ValueError, KeyError, TalkheadError):
            return fitting(hint, read(text), "")
    return text

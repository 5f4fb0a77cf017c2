"""`talkhead batch`: many renders from a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talkhead.batch.options import BatchOptions
from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.options import OUTPUT, Option
from talkhead.printable import counted

if TYPE_CHECKING:
    from talkhead.batch.batch import BatchReport


@with_options()
def batch(
    jobs: Annotated[
        Path,
        typer.Argument(
            metavar="JOBS.csv",
            help="A table with the columns source and driving and, where wanted, output, weights "
            "and any option of `animate`. Paths are relative to its folder.",
        ),
    ],
    output: Annotated[
        Path,
        Option(
            "Folder of the results; results.jsonl in it says what became of every row.",
            OUTPUT,
            ("--output", "-o"),
        ),
    ],
    options: BatchOptions,
    console: ConsoleOptions,
) -> None:
    """Render every row of a table; run again, make what is missing.

    A row that fails leaves the others alone, and the exit code is 1. Drivers are read once for
    all rows that share them.
    """
    with console.running() as progress:
        from talkhead.batch.batch import batch as run

        report = run(jobs, output, options, overwrite=console.overwrite, progress=progress)
        console.show(asdict(report), describe(report))
        if report.failed:
            raise typer.Exit(1)


def describe(report: BatchReport) -> str:
    """A report in one line."""
    text = f"{report.table}: {report.done} of {counted(report.rows, 'row')} done"
    if report.failed:
        text += f", {report.failed} failed (mend them, or --retry failed runs them as they are)"
    if report.before:
        text += f"; {report.before} of an earlier run"
    return f"{text}; {report.seconds:.1f} seconds"

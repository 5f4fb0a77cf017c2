"""`talkhead evaluate` and `talkhead ablate`: how good weights are."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated

import typer

from talkhead.ablation.options import AblationOptions
from talkhead.choices import AblationTable
from talkhead.cli.console import plain_errors, progress_bar, show
from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.evaluation.options import EvaluateOptions


def _print_metrics(wanted: bool) -> None:
    if wanted:
        with plain_errors(debug=False, quiet=False):
            from talkhead.evaluation.report.tables import metric_list

            show(metric_list(), quiet=False)
        raise typer.Exit


@with_options()
def evaluate(
    options: EvaluateOptions,
    console: ConsoleOptions,
    list_metrics: Annotated[
        bool,
        typer.Option(
            "--list-metrics",
            callback=_print_metrics,
            is_eager=True,
            help="Say what each metric is; score nothing.",
        ),
    ] = False,
) -> None:
    """Score weights as the papers do, against doing nothing: a table, JSON and a report."""
    others = os.environ.get("RANK", "0") != "0"  # under torchrun only the first shows a bar
    with (
        plain_errors(console.debug, console.quiet),
        progress_bar(console.quiet or others) as progress,
    ):
        from talkhead.evaluation.evaluate import evaluate as run
        from talkhead.evaluation.report.tables import as_json, markdown

        result = run(replace(options, overwrite=console.overwrite), progress=progress)
        if result is None:
            text = "done here; the process that finishes last writes the report"
            show(text, console.quiet)
            return
        console.show(as_json(result) if console.as_json else None, markdown(result))


@with_options()
def ablate(
    options: AblationOptions,
    console: ConsoleOptions,
    table: Annotated[
        AblationTable, typer.Argument(help="Which paper's ablation table.")
    ] = AblationOptions.table,
) -> None:
    """Train and score the rows of an ablation table at a small size."""
    with plain_errors(console.debug, console.quiet):
        from talkhead.ablation.ablate import ablate as run
        from talkhead.evaluation.report.html import check_reports, write_report
        from talkhead.evaluation.report.tables import as_json, markdown

        check_reports(options.output, (), console.overwrite)
        options = replace(options, table=table, quiet=console.quiet)
        result = run(options, lambda: progress_bar(console.quiet))
        write_report(result, options.output, console.overwrite)
        console.show(as_json(result) if console.as_json else None, markdown(result))

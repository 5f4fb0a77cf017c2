"""`talkhead benchmark`: how fast weights are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from talkhead.benchmark.options import BenchmarkOptions
from talkhead.cli.console import show
from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.options import OUTPUT, Option


@with_options()
def benchmark(
    options: BenchmarkOptions,
    console: ConsoleOptions,
    plot: Annotated[Path | None, Option("Also draw the result (.png).", OUTPUT)] = None,
    compare: Annotated[
        Path | None,
        Option("Show what changed since this result (a file that --json wrote).", OUTPUT),
    ] = None,
) -> None:
    """Measure speed and memory, stage by stage and end to end; needs no input files.

    Driving videos and a portrait are rendered. Measured are the stages around the model and inside
    of it, the model alone by batch size, whole renders, and the loop of the published demos with
    the same weights: one frame at a time, everything computed again, decode, then draw, then
    encode. Leave the machine alone meanwhile. With --json the result is the last line.
    """
    with console.running() as progress:
        from rich.console import Console

        from talkhead.animation.paths import check_output
        from talkhead.benchmark import plot as plotting
        from talkhead.benchmark import table
        from talkhead.benchmark.benchmark import benchmark as run
        from talkhead.io.image import check_ending, write_image

        if plot is not None:
            check_ending(plot)
            read = [path for path in (options.weights, compare) if path is not None]
            check_output(plot, read, console.overwrite)
        before = table.read_result(compare) if compare else None
        result = run(options, progress=progress)
        facts = table.as_json(result)
        if not console.quiet:
            paper = Console(width=None if sys.stdout.isatty() else 120)
            table.print_tables(result, paper)
            if before is not None:
                paper.print(table.comparison_table(before, facts))
        if plot is not None:
            write_image(plot, plotting.draw(result), console.overwrite)
        if console.as_json:
            show(facts, console.quiet)

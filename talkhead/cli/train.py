"""`talkhead train`."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import Annotated

from talkhead.cli.console import plain_errors, progress_bar
from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.options import DATA, Option
from talkhead.training.options import TrainOptions


@with_options()
def train(
    options: TrainOptions,
    console: ConsoleOptions,
    check_data: Annotated[
        bool, Option("Only say what the data are, what is broken and what shows no face.", DATA)
    ] = False,
) -> None:
    """Train a model on clips of talking faces; with torchrun, on several GPUs or machines."""
    # Under torchrun only the first process talks.
    console = replace(console, quiet=console.quiet or os.environ.get("RANK", "0") != "0")
    options = replace(options, overwrite=console.overwrite, quiet=console.quiet)
    with plain_errors(console.debug, console.quiet):
        from talkhead.training.run_data import inspect_data
        from talkhead.training.train import train as run

        if check_data:
            with progress_bar(console.quiet) as progress:
                found = inspect_data(options, progress)
            console.show(asdict(found), "\n".join(found.lines()))
            return
        outcome = run(options, lambda: progress_bar(console.quiet))
        if outcome is not None:
            console.show(asdict(outcome), outcome.line())

"""The command line: parse, validate, call the library, print. Heavy imports wait until needed."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from talkhead.cli.animate import animate
from talkhead.cli.batch import batch
from talkhead.cli.benchmark import benchmark
from talkhead.cli.evaluate import ablate, evaluate
from talkhead.cli.inspect import inspect
from talkhead.cli.malloc import keep_freed_memory
from talkhead.cli.prepare import prepare
from talkhead.cli.studio import studio
from talkhead.cli.synth import synth
from talkhead.cli.train import train
from talkhead.cli.weights import convert, inspect_weights
from talkhead.interrupts import ending_in_order
from talkhead.version import __version__

app = typer.Typer(
    name="talkhead",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A portrait photo and a driving video in, the portrait moving and talking like the "
    "driver out.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"talkhead {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


for command in (
    *(animate, batch, prepare, train, benchmark, evaluate, ablate, inspect, studio, convert),
    *(inspect_weights, synth),
):
    app.command()(command)


def open_missing_streams() -> None:
    """Give a closed stdin, stdout or stderr a place to go to.

    Or else the next file to be opened gets its number, and what is printed is written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def main() -> None:
    """Run the command line."""
    open_missing_streams()
    keep_freed_memory()
    with ending_in_order():
        app()

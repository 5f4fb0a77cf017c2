"""The command line: parse, validate, call the library, print. Heavy imports wait until needed."""

from __future__ import annotations

from typing import Annotated

import typer

from talkhead import __version__
from talkhead.cli.animate import animate
from talkhead.cli.benchmark import benchmark
from talkhead.cli.evaluate import ablate, evaluate
from talkhead.cli.inspect import inspect
from talkhead.cli.studio import studio
from talkhead.cli.synth import synth
from talkhead.cli.train import train
from talkhead.cli.weights import convert, inspect_weights
from talkhead.heap import keep_freed_memory

app = typer.Typer(
    name="talkhead",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A portrait photo and a driving video in, the portrait moving and talking like the "
    "driver out.",
)


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"talkhead {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


app.command()(animate)
app.command()(train)
app.command()(benchmark)
app.command()(evaluate)
app.command()(ablate)
app.command()(inspect)
app.command()(studio)
app.command()(convert)
app.command("inspect-weights")(inspect_weights)
app.command()(synth)


def main() -> None:
    """Entry point of the `talkhead` command."""
    keep_freed_memory()
    app()

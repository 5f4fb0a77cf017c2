"""`talkhead benchmark`: how fast weights are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from talkhead.cli.console import Debug, Overwrite, plain_errors, progress_bar, show
from talkhead.cli.options import Bf16, Compile, Device, Fp16, Weights, precision_of


def benchmark(
    model: Annotated[
        str | None,
        typer.Option(
            help="A preset, untrained, or none: everything around a model that costs nothing. "
            "Default: the bundled weights."
        ),
    ] = None,
    weights: Weights = None,
    device: Device = "auto",
    fp16: Fp16 = False,
    bf16: Bf16 = False,
    compiled: Compile = False,
    batch_sizes: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Frames that are drawn at once.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=2, help="Of the driving video; default: what suits.")
    ] = None,
    loop_frames: Annotated[
        int | None,
        typer.Option(min=0, help="Of these, for the published loop; 0 leaves it out."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Measure the model at these image sizes, too.")
    ] = "",
    lengths: Annotated[
        str,
        typer.Option(
            metavar="N,N,...", help="Compare memory over driving videos of so many frames."
        ),
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="See that everything works; figures of no worth.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw the result (.png).")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="What changed since this result (of --json).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Also print the result as JSON, as the last line.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
    debug: Debug = False,
) -> None:
    """Measure speed and memory, stage by stage and end to end; needs no input files.

    Driving videos and a portrait are rendered. Measured are the stages around the model and inside
    of it, the model alone by batch size, whole renders, and the loop of the published demos with
    the same weights: one frame at a time, everything computed again, decode, then draw, then
    encode. Leave the machine alone meanwhile.
    """
    with plain_errors(debug, quiet), progress_bar(quiet) as progress:
        from rich.console import Console

        from talkhead.animation.paths import check_output
        from talkhead.benchmark import plot as plotting
        from talkhead.benchmark import table
        from talkhead.benchmark.benchmark import benchmark as run
        from talkhead.benchmark.result import Options
        from talkhead.io.image import check_ending, write_image

        if plot is not None:
            check_ending(plot)
            read = [path for path in (weights, compare) if path is not None]
            check_output(plot, read, overwrite)
        before = table.read_result(compare) if compare else None
        options = Options(
            model=model,
            weights=weights,
            device=device,
            precision=precision_of(fp16, bf16),
            batch_sizes=numbers(batch_sizes or "") or None,
            frames=frames,
            loop_frames=loop_frames,
            sizes=numbers(sizes),
            lengths=numbers(lengths),
            compiled=compiled,
            quick=quick,
        )
        result = run(options, progress)
        facts = table.as_json(result)
        if not quiet:
            console = Console(width=None if sys.stdout.isatty() else 120)
            table.print_tables(result, console)
            if before is not None:
                console.print(table.comparison_table(before, facts))
        if plot is not None:
            write_image(plot, plotting.draw(result), overwrite)
        if as_json:
            show(facts, quiet)


def numbers(text: str) -> tuple[int, ...]:
    """Positive whole numbers between commas; none in an empty text."""
    words = text.split(",") if text else []
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise typer.BadParameter(f"write whole numbers with commas between them, not {text!r}")
    return tuple(int(word) for word in words)

"""`talkhead synth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkhead.cli.console import AsJson, Debug, Quiet, plain_errors, progress_bar, show


def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for train/ and test/.")],
    identities: Annotated[int, typer.Option(min=1, help="How many people.")] = 16,
    clips: Annotated[int, typer.Option(min=1, help="Clips of each.")] = 2,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each clip.")] = 4.0,
    rate: Annotated[int, typer.Option(min=1, help="Frames per second.")] = 25,
    size: Annotated[int, typer.Option(min=32, help="Side of the pictures in pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Other numbers draw other people.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the synthetic clips in the folder.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw clips of synthetic talking heads, in the layout that `train` reads."""
    with plain_errors(debug, quiet), progress_bar(quiet) as progress:
        from talkhead.synthetic.synth import synth as draw

        def update(done: int, total: int) -> None:
            if progress:
                progress("drawing clips", done, total)

        paths = draw(
            output, identities, clips, seconds, rate, size, seed, workers, overwrite, update
        )
        names = [str(path) for path in paths]
        line = f"{output}: {len(names)} clips of {identities} identities"
        show({"clips": names} if as_json else line, quiet)

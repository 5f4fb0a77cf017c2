"""`talkhead prepare`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.errors import TalkheadError
from talkhead.preparation.options import PrepareOptions
from talkhead.printable import counted


@with_options()
def prepare(
    videos: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEOS...", help="Videos, and folders that hold some."),
    ],
    options: PrepareOptions,
    console: ConsoleOptions,
) -> None:
    """Make a training set of the faces of ordinary videos."""
    with console.running() as progress:
        from talkhead.preparation.prepare import prepare as run

        options = replace(options, videos=tuple(videos), overwrite=console.overwrite)
        report = run(options, progress=progress)
        console.show(asdict(report), "\n".join(report.lines()))
        if not report.clips:
            raise TalkheadError(
                f"no clip of a face came out of {counted(report.videos, 'video')}; "
                f"{options.output}/report.html says why"
            )
        if report.failed:
            raise typer.Exit(1)

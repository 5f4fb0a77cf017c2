"""`talkhead convert` and `talkhead inspect-weights`: where weights come from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from talkhead.choices import WeightsLayout
from talkhead.cli.console import plain_errors
from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.errors import TalkheadError
from talkhead.options import Option


@with_options(without=("quiet",))
def convert(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="One or two files of an official release; with --to official our weights."
        ),
    ],
    output: Annotated[
        Path, Option("The weights to write; a folder for two files.", flags=("--output", "-o"))
    ],
    console: ConsoleOptions,
    to: Annotated[
        WeightsLayout, Option("talkhead: read a release. official: write one.")
    ] = "talkhead",
    align_corners: Annotated[
        bool | None,
        Option("FOMM only: sample with corners aligned, as its weights from before 2020 need."),
    ] = None,
) -> None:
    """Read an official checkpoint (codebook model, MCNet, FOMM, TPSMM) safely, or write one."""
    with plain_errors(console.debug, quiet=False):
        from talkhead.conversion.convert import convert as convert_files
        from talkhead.conversion.convert import export

        if to == "official":
            if len(files) != 1:
                raise TalkheadError("--to official takes one file of weights")
            if align_corners is not None:
                raise TalkheadError("--align-corners is for reading FOMM's releases; leave it out")
            written = [str(path) for path in export(files[0], output, console.overwrite)]
            console.show({"written": written}, ", ".join(written))
            return
        header = convert_files(
            files, output, align_corners=align_corners, overwrite=console.overwrite
        )
        console.show(facts_of(header), describe_weights(output, header))


@with_options(without=("overwrite", "quiet"))
def inspect_weights(
    console: ConsoleOptions,
    weights: Annotated[
        Path | None, typer.Argument(help="A weights file; default: the bundled one.")
    ] = None,
) -> None:
    """Say what a weights file holds, where it comes from and under which licence."""
    with plain_errors(console.debug, quiet=False):
        from talkhead import checkpoint
        from talkhead.bundled import check_digest, sha256

        path = weights or checkpoint.default_weights()
        header = checkpoint.read_header(path)
        check_digest(path, sha256(path))
        console.show(facts_of(header), describe_weights(path, header))


def facts_of(header: Any) -> dict[str, Any]:
    """What a weights file says about itself, for scripts."""
    from talkhead import config

    return {"config": config.to_dict(header.config), "provenance": asdict(header.provenance)}


def describe_weights(path: Path, header: Any) -> str:
    """The same for people."""
    provenance = header.provenance
    lines = [
        f"{path}: {header.config.family}, {header.config.image_size} px",
        f"origin: {provenance.origin}",
        f"licence: {provenance.licence}",
        *(f"from {name}, SHA-256 {digest}" for name, digest in provenance.sources.items()),
        *(f"{name}: {value}" for name, value in provenance.notes.items()),
    ]
    return "\n".join(lines)

"""`talkhead convert` and `talkhead inspect-weights`: where weights come from."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from talkhead.cli.console import AsJson, Debug, Overwrite, plain_errors, show
from talkhead.errors import TalkheadError


class LayoutTarget(StrEnum):
    talkhead = "talkhead"
    official = "official"


def convert(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="One or two files of an official release; with --to official our weights."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The weights to write; a folder for two files."),
    ],
    to: Annotated[
        LayoutTarget, typer.Option(help="talkhead reads a release; official writes one.")
    ] = LayoutTarget.talkhead,
    align_corners: Annotated[
        bool | None,
        typer.Option(
            help="FOMM only: how its grids are aligned; weights from before 2020 want it."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Read an official checkpoint (codebook model, MCNet, FOMM, TPSMM) safely, or write one."""
    with plain_errors(debug, quiet=False):
        from talkhead.conversion.convert import convert as convert_files
        from talkhead.conversion.convert import export

        if to is LayoutTarget.official:
            if len(files) != 1:
                raise TalkheadError("--to official takes one file of weights")
            written = [str(path) for path in export(files[0], output, overwrite)]
            show({"written": written} if as_json else ", ".join(written), quiet=False)
            return
        header = convert_files(files, output, align_corners=align_corners, overwrite=overwrite)
        show(facts_of(header) if as_json else describe_weights(output, header), quiet=False)


def inspect_weights(
    weights: Annotated[
        Path | None, typer.Argument(help="A weights file; default: the bundled one.")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what a weights file holds, where it comes from and under which licence."""
    with plain_errors(debug, quiet=False):
        from talkhead import checkpoint

        path = weights or checkpoint.default_weights()
        header = checkpoint.read_header(path)
        show(facts_of(header) if as_json else describe_weights(path, header), quiet=False)


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

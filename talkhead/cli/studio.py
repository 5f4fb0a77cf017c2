"""`talkhead studio`: the same in a browser."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from talkhead.cli.animate import animate
from talkhead.cli.console import Debug, plain_errors
from talkhead.cli.options import Device, Weights
from talkhead.errors import TalkheadError

if TYPE_CHECKING:
    from talkhead.studio.controls import Option

NEEDS = {"starlette", "uvicorn", "websockets"}
PORT = 7878
RENAMED = {"encoder_preset": "preset"}  # options of `animate` that settings call otherwise


def studio(
    port: Annotated[int, typer.Option(help="Port of the page; 0: any that is free.")] = PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on; only with --share one that others can reach.")
    ] = "127.0.0.1",
    share: Annotated[
        bool,
        typer.Option(
            "--share",
            help="Let other machines that can reach --host use this page, this machine's time and "
            "the uploads they make; they need the key in the printed address. Nothing goes through "
            "a service elsewhere, and nothing is encrypted: share in a network that you trust.",
        ),
    ] = False,
    weights: Weights = None,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Open a page in the browser: choose, preview, render, look inside, live. Ctrl-C ends it."""
    with plain_errors(debug, quiet=False):
        try:
            from talkhead.studio.access import is_loopback
            from talkhead.studio.server import serve
            from talkhead.studio.state import Choice
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in NEEDS:
                raise
            raise TalkheadError(
                f"the studio needs {error.name}, which is not installed; install it with "
                "pip install 'talkhead[studio]'"
            ) from error
        if not is_loopback(host) and not share:
            raise TalkheadError(
                f"others could reach {host}; add --share if they may, or use --host 127.0.0.1"
            )
        key = secrets.token_urlsafe(18) if share else None
        serve(
            Choice(host, weights, device, animate_options(), key),
            port,
            lambda address: typer.echo(f"talkhead studio: {address} (Ctrl-C ends it)"),
        )


def animate_options() -> dict[str, Option]:
    """How `talkhead animate` spells each setting, by the setting's name."""
    from talkhead.studio.controls import Option

    options = {}
    for name, annotation in get_type_hints(animate, include_extras=True).items():
        info = next((i for i in get_args(annotation) if isinstance(i, OptionInfo)), None)
        if info is None:
            continue
        # Within Annotated, Typer takes the first flag for the default and sorts it out later.
        given = [info.default, *(info.param_decls or ())]
        flags = [each for each in map(str, given) if each.startswith("--")]
        word = name.replace("_", "-")
        plain = get_args(annotation)[0]
        options[RENAMED.get(name, name)] = Option(
            flag=flags[0] if flags else f"--{word}",
            help=info.help or "",
            off=f"--no-{word}" if plain is bool and not flags else None,
            choices=_choices(plain),
            minimum=info.min,
            maximum=info.max,
        )
    return options


def _choices(annotation: Any) -> tuple[str, ...]:
    """What an option of a fixed set of words can be."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return tuple(choice.value for choice in annotation)
    return ()

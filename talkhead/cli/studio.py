"""`talkhead studio`: the same in a browser."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from talkhead.cli.console import plain_errors
from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.errors import TalkheadError
from talkhead.inference.options import EngineOptions
from talkhead.options import Option

NEEDS = {"starlette", "uvicorn", "websockets"}
PORT = 7878


@with_options(without=("precision", "batch_size", "compiled", "overwrite", "as_json", "quiet"))
def studio(
    engine: EngineOptions,
    console: ConsoleOptions,
    port: Annotated[int, Option("Port of the page; 0: any that is free.")] = PORT,
    host: Annotated[
        str, Option("Address to listen on; only with --share one that others can reach.")
    ] = "127.0.0.1",
    share: Annotated[
        bool,
        Option(
            "Let other machines that can reach --host use this page, this machine's time and "
            "the uploads they make; they need the key in the printed address. Nothing goes through "
            "a service elsewhere, and nothing is encrypted: share in a network that you trust.",
        ),
    ] = False,
) -> None:
    """Serve a page for the browser: choose, preview, render, look inside, live. Ctrl-C ends it."""
    with plain_errors(console.debug, quiet=False):
        try:
            from talkhead.studio.access import is_loopback
            from talkhead.studio.server import serve
            from talkhead.studio.state import Choice
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in NEEDS:
                raise
            raise TalkheadError(
                f"the studio needs {error.name}, which is not installed; in talkhead's folder run "
                'pip install ".[studio]"'
            ) from error
        if not is_loopback(host) and not share:
            raise TalkheadError(
                f"others could reach {host}; add --share if they may, or use --host 127.0.0.1"
            )
        key = secrets.token_urlsafe(18) if share else None
        serve(
            Choice(host, engine.weights, engine.device, key),
            port,
            lambda address: typer.echo(
                f"talkhead studio: open {address} in a browser (Ctrl-C ends it)"
            ),
        )

"""Serving the page until it is interrupted."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn

from talkhead.errors import TalkheadError
from talkhead.studio.app import build
from talkhead.studio.state import Choice, Studio

LARGEST_MESSAGE = 16 << 20  # bytes; a picture of the camera


def serve(choice: Choice, port: int, announce: Callable[[str], None]) -> None:
    """Serve the page on `choice.host`; port 0: any free one. Returns when it is interrupted.

    announce: told the page's address once it can be opened.

    Raises TalkheadError when the port is taken or the weights cannot be loaded.
    """
    with listen(choice.host, port) as listener, Studio(choice) as studio:
        server = make_server(studio)
        announce(address(choice, listener.getsockname()[1]))
        server.run(sockets=[listener])
        if studio.loading.done():
            studio.engine()  # raises what loading raised


def make_server(studio: Studio) -> uvicorn.Server:
    """A server of the page, which ends when the weights cannot be loaded."""
    config = uvicorn.Config(
        build(studio),
        log_level="error",
        ws="websockets-sansio",
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
        ws_max_size=LARGEST_MESSAGE,
    )
    server = uvicorn.Server(config)

    def loaded(_: object) -> None:
        if studio.loading.exception() is not None:
            server.should_exit = True

    studio.loading.add_done_callback(loaded)
    return server


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises TalkheadError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise TalkheadError(f"there is no host {host}; use --host 127.0.0.1") from error
    except OverflowError as error:
        raise TalkheadError(f"the port lies between 0 and 65535, not {port}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise TalkheadError(
                f"port {port} is taken, perhaps by another studio; give another with --port, or "
                "--port 0 for any that is free"
            ) from error
        raise TalkheadError(
            f"cannot listen on {host}, port {port} ({error.strerror}); give another --host or "
            "--port"
        ) from error


def address(choice: Choice, port: int) -> str:
    """What to open in a browser."""
    host = socket.gethostname() if choice.host in ("0.0.0.0", "::") else choice.host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?key={choice.key}" if choice.key else "")

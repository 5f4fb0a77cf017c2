"""Who may ask: the check of host, origin and key, and the headers that keep a page to itself."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "talkhead_studio"
# Nothing from elsewhere, nothing inside other pages; the camera for this page alone.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "Cache-Control": "no-store",
}


class Guard:
    """Passes on what comes from the page itself, and refuses all else.

    A page elsewhere could have its own name lead to this machine (DNS rebinding); so the name that
    a request asks for is checked, and where a browser says which page asks, it must be this one.

    shared: reachable from other machines; then any IP address will do for a name, and every
            request must bring `key`, in the address at first and as a cookie afterwards.
    """

    def __init__(self, app: ASGIApp, host: str, key: str | None = None) -> None:
        self._app = app
        self._key = key
        self._names = {"localhost", "127.0.0.1", "::1", host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that may come in; answer the others."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers, scope)
        if refusal is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await PlainTextResponse(refusal, 403)(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer[name] = value
                if self._key is not None and scope["path"] == "/":
                    mine = f"{_cookie(scope)}={self._key}"
                    answer["Set-Cookie"] = f"{mine}; HttpOnly; SameSite=Strict"
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _refusal(self, headers: Headers, scope: Scope) -> str | None:
        asked = headers.get("host", "")
        name = _part(f"//{asked}", "hostname")
        if name not in self._names and (self._key is None or not _is_address(name)):
            return f"this page is not called {asked}; open the address that the command printed"
        origin = headers.get("origin")
        if origin is not None and _part(origin, "netloc") != asked:
            return f"a page of {origin} may not use this one"
        if headers.get("sec-fetch-site") == "cross-site" and scope["path"] != "/":
            return "another page may not use this one"
        if self._key is not None and not self._has_key(headers, scope):
            return "open the whole address that the command printed, with its key"
        return None

    def _has_key(self, headers: Headers, scope: Scope) -> bool:
        assert self._key is not None
        cookie = cookie_parser(headers.get("cookie", "")).get(_cookie(scope), "")
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("key", [""])
        given = [asked[0], cookie]
        return any(secrets.compare_digest(each.encode(), self._key.encode()) for each in given)


def _cookie(scope: Scope) -> str:
    """Its name, with the port: browsers send a host's cookies to all of its ports."""
    return f"{COOKIE}_{(scope.get('server') or ('', ''))[1]}"


def _part(address: str, part: str) -> str:
    """Of an address as a header has it; empty where it is none."""
    try:
        return getattr(urlsplit(address), part) or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine's own alone."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)

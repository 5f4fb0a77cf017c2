"""A running studio for tests: served as the command serves it, on a thread."""

# ruff: noqa: E402 - what needs the extra is imported after the check for it

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

for needed in ("starlette", "uvicorn", "websockets"):
    pytest.importorskip(needed, reason="the studio is not installed: pip install '.[studio]'")

from websockets.sync.client import connect

from talkhead.studio.server import listen, make_server
from talkhead.studio.state import Choice, Studio

PATIENCE = 240.0  # seconds; a machine may be busy with other things


@contextmanager
def serving(weights: Path, key: str | None = None) -> Iterator[tuple[Studio, int]]:
    """The studio and its port."""
    choice = Choice("127.0.0.1", weights, "cpu", key)
    with listen("127.0.0.1", 0) as listener, Studio(choice) as studio:
        server = make_server(studio)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        studio.engine()
        try:
            yield studio, listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@dataclass
class Client:
    """A page without a browser."""

    port: int
    session: str = ""
    introduction: dict[str, Any] | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        found = answer.read()
        connection.close()
        return answer.status, found, {k.lower(): v for k, v in answer.getheaders()}

    def begin(self) -> Client:
        status, body, _ = self.ask("POST", "/api/sessions")
        assert status == 200
        self.introduction = json.loads(body)
        self.session = self.introduction["session"]
        return self

    def own(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> Any:
        """JSON of one of the session's addresses; an error as {"error": ...}."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        _, found, _ = self.ask(method, f"/api/{self.session}/{path}", data)
        return json.loads(found) if found else None

    def upload(self, role: str, path: Path, name: str | None = None) -> Any:
        return self.own("PUT", f"media/{role}?name={quote(name or path.name)}", path.read_bytes())

    def lines(self, settings: dict[str, Any]) -> list[dict[str, Any]]:
        body = json.dumps({"settings": settings}).encode()
        _, found, _ = self.ask("POST", f"/api/{self.session}/strip", body)
        return [json.loads(line) for line in found.decode().splitlines()]

    def file(self, name: str) -> bytes:
        status, body, _ = self.ask("GET", f"/api/{self.session}/files/{quote(name)}")
        assert status == 200
        return body

    def socket(self, path: str, **more: Any) -> Any:
        return connect(f"ws://127.0.0.1:{self.port}/api/{self.session}/{path}", **more)

    def until(self, events: Any, *states: str) -> dict[str, Any]:
        """The first event of a render in one of these states."""
        while True:
            event = json.loads(events.recv(timeout=PATIENCE))
            if event["type"] == "render" and event["state"] in states:
                return event

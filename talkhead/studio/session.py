"""One open page: its files, its listeners, and their end."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool

from talkhead.errors import TalkheadError

GRACE = 120.0  # seconds that a session outlives a lost connection; a page that closes says so
Role = Literal["portrait", "driving"]
SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}$")


@dataclass(frozen=True)
class Media:
    """A portrait or a driving video: where it lies, and what its owner calls it."""

    path: Path
    name: str


@dataclass(eq=False)
class Session:
    """Files of one page. Only what is in `files` can be asked for, by its name there.

    media: what is chosen. One that was chosen before stays on disk: a render that waits may still
    need it.
    """

    folder: Path
    loop: asyncio.AbstractEventLoop
    id: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    files: dict[str, Path] = field(default_factory=dict)
    media: dict[Role, Media] = field(default_factory=dict)
    asked: dict[Role, Media] = field(default_factory=dict)  # the newest, before it is checked
    closed: bool = False
    _renders: dict[int, dict[str, Any]] = field(default_factory=dict)  # the last event of each
    _listeners: set[asyncio.Queue[dict[str, Any]]] = field(default_factory=set)
    _left: float = field(default_factory=time.monotonic)
    _count: int = 0

    def new_folder(self) -> Path:
        """An empty folder for one more file."""
        self._count += 1
        folder = self.folder / str(self._count)
        folder.mkdir()
        return folder

    def publish(self, path: Path) -> str:
        """Let the page ask for a file; returns the name to ask by."""
        name = f"{path.parent.name}-{path.name}"
        self.files[name] = path
        return name

    def need(self, role: Role) -> Media:
        """The portrait or the driver; TalkheadError as long as there is none."""
        if role not in self.media:
            raise TalkheadError(
                "choose a portrait first" if role == "portrait" else "choose a driving video first"
            )
        return self.media[role]

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event to the page, from any thread."""
        if not self.closed:
            self.loop.call_soon_threadsafe(self._hand_out, event)

    def _hand_out(self, event: dict[str, Any]) -> None:
        if event["type"] == "render":
            self._renders[event["number"]] = event
        for listener in self._listeners:
            listener.put_nowait(event)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Where all renders are, then events. While someone listens the session stays open."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            for event in list(self._renders.values()):  # the connection may have been lost
                yield event
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)
            self._left = time.monotonic()

    def is_left(self) -> bool:
        """Whether its page has been gone for a while."""
        return not self._listeners and time.monotonic() - self._left > GRACE


class Sessions:
    """All open pages; a page that is gone takes its files with it."""

    def __init__(self, folder: Path, on_close: Callable[[Session], None]) -> None:
        self._folder = folder
        self._on_close = on_close
        self._open: dict[str, Session] = {}

    def begin(self) -> Session:
        """A new session, with a folder of its own."""
        folder = self._folder / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        session = Session(folder, asyncio.get_running_loop())
        self._open[session.id] = session
        return session

    def get(self, identity: str) -> Session | None:
        """The session of this name, if it has not ended."""
        return self._open.get(identity)

    def end(self, session: Session) -> None:
        """Stop its renders and delete its files."""
        self._open.pop(session.id, None)
        session.closed = True
        self._on_close(session)
        shutil.rmtree(session.folder, ignore_errors=True)

    def end_all(self) -> None:
        """End all of them."""
        for session in list(self._open.values()):
            self.end(session)

    async def end_left(self) -> None:
        """For as long as it runs, end sessions whose pages are gone."""
        while True:
            await asyncio.sleep(GRACE / 6)
            for session in list(self._open.values()):
                if session.is_left():
                    await run_in_threadpool(self.end, session)


def plain_name(text: str, role: Role) -> str:
    """A file name as a browser gives it, made harmless, its ending kept.

    What reads files takes `*`, `?`, `[` and `%d` for patterns.
    """
    base = text.replace("\\", "/").rpartition("/")[2]
    ending = SUFFIX.search(base)
    stem = base[: ending.start()] if ending else base
    stem = re.sub(r"[^\w .()-]", "_", stem).strip(" .-")[:80] or role
    return stem + (ending[0] if ending else "")

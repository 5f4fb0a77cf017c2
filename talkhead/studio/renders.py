"""Renders, one after the other, on a thread of their own."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from talkhead.animation.animator import Animator
from talkhead.animation.settings import RenderSettings
from talkhead.errors import Stopped
from talkhead.inference.engine import Engine
from talkhead.io.atomic import fitting_name
from talkhead.studio.sentences import sentence_of, warnings_of
from talkhead.studio.session import Media, Session

State = Literal["waiting", "working", "done", "stopped", "failed"]
TELL_EVERY = 0.2  # seconds between two words on progress


@dataclass(eq=False)
class Render:
    """One render and how far it is. before: how many wait in front of it."""

    number: int
    session: Session
    portrait: Media
    driving: Media
    settings: RenderSettings
    output: Path
    command: str
    state: State = "waiting"
    stage: str = ""
    done: int = 0
    total: int | None = None
    rate: float | None = None
    error: str | None = None
    file: str | None = None
    warnings: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _began: tuple[str, int, float] = ("", 0, 0.0)
    _told: float = 0.0

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """Where it is now; raises Stopped once it should end."""
        now = time.monotonic()
        if stage != self._began[0]:
            self._began = (stage, done, now)
        self.stage, self.done, self.total = stage, done, total
        seconds = now - self._began[2]
        self.rate = (done - self._began[1]) / seconds if seconds > 0 else None
        if now - self._told >= TELL_EVERY:
            self._told = now
            self.tell()
        if self.stop.is_set():
            raise Stopped("stopped before the first frame was drawn; nothing was kept")

    def tell(self, before: int = 0) -> None:
        """Let the page know."""
        left = None
        if self.rate and self.total is not None:
            left = max(self.total - self.done, 0) / self.rate
        self.session.tell(
            {
                "type": "render",
                "number": self.number,
                "state": self.state,
                "stage": self.stage,
                "done": self.done,
                "total": self.total,
                "rate": self.rate,
                "left": left,
                "before": before,
                "error": self.error,
                "file": self.file,
                "warnings": self.warnings,
                "name": self.output.name,
                "portrait": self.portrait.name,
                "driving": self.driving.name,
                "command": self.command,
                "start": self.settings.start or 0,
                "settings": asdict(self.settings),
            }
        )


class Renders:
    """The queue. One engine and one render at a time, so that none waits for half of a machine."""

    def __init__(self, engine: Engine) -> None:
        self._animator = Animator(engine, self._progress)
        self._numbers = itertools.count(1)
        self._waiting: list[Render] = []
        self._current: Render | None = None
        self._change = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="renders", daemon=True)
        self._thread.start()

    def add(self, session: Session, settings: RenderSettings, output: str, command: str) -> Render:
        """Queue a render of the session's portrait and driver into a new file called `output`."""
        portrait, driving = session.need("portrait"), session.need("driving")
        path = session.new_folder() / output
        render = Render(next(self._numbers), session, portrait, driving, settings, path, command)
        with self._change:
            self._waiting.append(render)
            self._change.notify_all()
        self._tell_waiting()
        return render

    def stop(self, session: Session, number: int | None = None) -> None:
        """Stop a render of a session; without a number all of them, and wait for the end."""
        with self._change:
            mine = [*self._waiting, *([self._current] if self._current else [])]
            for render in mine:
                if render.session is session and number in (None, render.number):
                    render.stop.set()
                    if render in self._waiting:
                        self._waiting.remove(render)
                        render.state = "stopped"
                        render.error = "taken out of the queue"
                        render.tell()
            if number is None:
                self._change.wait_for(lambda: not self._current or self._current.session != session)
        self._tell_waiting()

    def end(self) -> None:
        """Stop the render in work and start no other."""
        with self._change:
            self._ended = True
            self._waiting.clear()
            if self._current is not None:
                self._current.stop.set()
            self._change.notify_all()
        self._thread.join()

    def _tell_waiting(self) -> None:
        with self._change:
            ahead = 1 if self._current else 0
            for place, render in enumerate(self._waiting):
                render.tell(before=place + ahead)

    def _work(self) -> None:
        while True:
            with self._change:
                self._current = None
                self._change.notify_all()
                self._change.wait_for(lambda: self._waiting or self._ended)
                if self._ended:
                    return
                self._current = self._waiting.pop(0)
            self._tell_waiting()
            render = self._current
            try:
                self._draw(render)
            except Exception as error:
                # Whatever one render meets, the next is to be drawn; the page says what it was.
                render.state = "stopped" if isinstance(error, Stopped) else "failed"
                render.error = sentence_of(error, render.session.folder)
            render.tell()

    def _draw(self, render: Render) -> None:
        render.state = "working"
        render.tell()
        with warnings_of(render.session.folder) as render.warnings:
            report = self._animator(
                render.portrait.path, render.driving.path, render.output, render.settings
            )
        render.done = report.frames
        render.rate = report.frames_per_second
        render.state = "stopped" if report.stopped else "done"
        render.file = render.session.publish(render.output)

    def _progress(self, stage: str, done: int, total: int | None) -> None:
        assert self._current is not None
        self._current.progress(stage, done, total)


def output_name(portrait: Media, driving: Media, settings: RenderSettings) -> str:
    """What the result is called, after its inputs."""
    ending = {"vp9": ".webm", "av1": ".mkv", "ffv1": ".mkv", "prores": ".mov"}
    stem = f"{Path(portrait.name).stem}-{Path(driving.name).stem}"
    return fitting_name(stem, ending.get(settings.codec or "", ".mp4"))

"""What all pages share: the engine, the queue, the open sessions, the examples."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING

from talkhead.bundled import shipped
from talkhead.studio.controls import controls
from talkhead.studio.sentences import Warnings
from talkhead.studio.session import Role, Session, Sessions

if TYPE_CHECKING:
    from talkhead.animation.preview import Preview
    from talkhead.faces.alignment import Detector
    from talkhead.faces.finder import FaceFinder
    from talkhead.inference.engine import Engine
    from talkhead.studio.renders import Renders

EXAMPLES: dict[Role, tuple[str, ...]] = {
    "portrait": ("portrait.jpg",),
    "driving": ("driving.mp4", "driving_vertical.mp4"),
}


@dataclass(frozen=True)
class Choice:
    """What the command line was told. key: needed to use the page; None on this machine alone."""

    host: str
    weights: Path | None
    device: str
    key: str | None = None

    @property
    def arguments(self) -> list[str]:
        """The same, for a command of `talkhead animate`."""
        weights = [] if self.weights is None else ["--weights", str(self.weights)]
        return weights + ([] if self.device == "auto" else ["--device", self.device])


class Studio:
    """One engine, loaded while the page already opens. Use as a context manager."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.controls = controls()
        self._stack = ExitStack()
        self._renders: Renders | None = None
        self._previews: dict[Session, Preview] = {}
        self._finders: dict[Detector, FaceFinder] = {}
        self._lock = Lock()

    def __enter__(self) -> Studio:
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="talkhead-studio-")))
        self.sessions = Sessions(folder.resolve(), self._forget)
        self._stack.enter_context(Warnings())
        loader = self._stack.enter_context(ThreadPoolExecutor(1, "load"))
        self.loading: Future[Engine] = loader.submit(self._load)
        return self

    def __exit__(self, *_: object) -> None:
        self.sessions.end_all()
        if self._renders is not None:
            self._renders.end()
        self._stack.close()

    def _load(self) -> Engine:
        from talkhead.inference.engine import Engine
        from talkhead.studio.renders import Renders

        engine = Engine.load(self.choice.weights, self.choice.device)
        self._renders = Renders(engine)
        return engine

    def engine(self) -> Engine:
        """Waits until it is loaded; raises what loading raised."""
        return self.loading.result()

    @property
    def renders(self) -> Renders:
        """The queue; like `engine`, it is waited for."""
        self.loading.result()
        assert self._renders is not None
        return self._renders

    def preview(self, session: Session) -> Preview:
        """Each page has one, which keeps what it found."""
        from talkhead.animation.preview import Preview

        with self._lock:
            if session not in self._previews:
                self._previews[session] = Preview(self.engine(), finder=self.finder)
            return self._previews[session]

    def finder(self, detector: Detector) -> FaceFinder:
        """What finds faces for all pages."""
        from talkhead.faces.alignment import make_finder

        with self._lock:
            if detector not in self._finders:
                self._finders[detector] = make_finder(detector, str(self.engine().device))
            return self._finders[detector]

    def _forget(self, session: Session) -> None:
        self._previews.pop(session, None)
        if self._renders is not None:
            self._renders.stop(session)


def example(role: Role, name: str) -> Path | None:
    """An example file; None for one that is not there."""
    return shipped(f"examples/{name}") if name in EXAMPLES[role] else None

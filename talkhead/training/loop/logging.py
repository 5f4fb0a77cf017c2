"""Progress of a run: terminal, `run.json`, `losses.jsonl` and TensorBoard."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkhead.errors import TalkheadError, disk_explained, told
from talkhead.io.atomic import write_text
from talkhead.schema import fitting, read_json

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Group

log = logging.getLogger(__name__)

RUN = "run.json"
LOSSES = "losses.jsonl"
PLAIN_SECONDS = 10.0  # at least between two lines of a log


@dataclass
class TrainingProgress:
    """Means since the last report.

    done, total: steps; total None: the run is limited by time. pairs: per second, all processes.
    """

    done: int
    total: int | None
    seconds: float
    left: float
    pairs: float
    rate: float
    terms: dict[str, float]
    notes: dict[str, str] = field(default_factory=dict)

    def title(self) -> str:
        """How far the run is, in one line."""
        steps = f"step {self.done}" + (f"/{self.total}" if self.total else "")
        return (
            f"{steps}  {2 * self.pairs:.1f} images/s  rate x {self.rate:.3g}  "
            f"{clock(self.seconds)} done, {clock(self.left)} left"
        )


Show = Callable[[TrainingProgress], None]


def clock(seconds: float) -> str:
    """3725 -> 1:02:05."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


@contextmanager
def open_screen(quiet: bool) -> Iterator[Show]:
    """Where people look: a table that is drawn anew on a terminal, lines now and then in a file.

    quiet: nothing is shown: for --quiet, and all processes but the first.
    """
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=2) as live:
            yield lambda progress: live.update(_table(progress))  # the last one stays
    else:
        yield Lines()


def _table(progress: TrainingProgress) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    table.add_row("loss", f"{sum(progress.terms.values()):.4f}")
    for name, value in progress.terms.items():
        table.add_row(f"  {name}", f"{value:.4f}")
    for name, text in progress.notes.items():
        table.add_row(name, text)
    return Group(Text(progress.title()), table)


class Lines:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self._shown = -PLAIN_SECONDS

    def __call__(self, progress: TrainingProgress) -> None:
        """Print a line, unless one was printed a moment ago."""
        now = time.monotonic()
        if now - self._shown < PLAIN_SECONDS:
            return
        self._shown = now
        terms = " ".join(f"{name} {value:.4f}" for name, value in progress.terms.items())
        notes = "".join(f"  {name}: {text}" for name, text in progress.notes.items())
        loss = sum(progress.terms.values())
        line = f"{progress.title()}  loss {loss:.4f} ({terms}){notes}"
        with suppress(OSError):  # nobody listens any more
            print(line, file=sys.stderr, flush=True)


def write_run_file(path: Path, text: str) -> None:
    """Write a small file of a run, whole or not at all. Raises TalkheadError for a full disk."""
    with disk_explained(f"cannot write {path}", "make room and go on with --resume"):
        write_text(path, text)


def _step(entry: Any) -> int:
    """The step that an entry of one of a run's files is of."""
    step: int = fitting(int, entry.get("step") if isinstance(entry, dict) else None, "step")
    return step


def _damaged(path: Path, error: Exception) -> TalkheadError:
    return TalkheadError(
        f"{path} is damaged ({told(error)}); move it away to go on without what it says"
    )


class RunLog:
    """The files of a run, `run.json` and `losses.jsonl`; TensorBoard's too where it is installed.

    `run.json` says what the run is and where it stands, `losses.jsonl` how it went.

    facts: what stays the same during a run; paths are written as texts.
    done: steps before this call. What an interrupted run wrote after its last checkpoint is taken
    back: those steps come again.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], done: int) -> None:
        self.folder = folder
        self.facts = facts
        self.validations: list[dict[str, Any]] = []
        self._board: Any = None
        if done:
            self._take_back(done)
        try:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
        except ImportError:
            log.info("TensorBoard is not installed; losses are in %s only", LOSSES)

    def _take_back(self, done: int) -> None:
        """Keep what belongs to the first `done` steps of the files."""
        run, losses = self.folder / RUN, self.folder / LOSSES
        if run.is_file():
            try:
                told_then = fitting(dict[str, Any], read_json(run.read_bytes()), "it")
                old = fitting(list[dict[str, Any]], told_then.get("validations", []), "validations")
                self.validations = [each for each in old if _step(each) <= done]
            except TalkheadError as error:
                raise _damaged(run, error) from error
        if losses.is_file():
            try:
                lines = losses.read_text().splitlines(keepends=True)
                whole_lines = [line for line in lines if line.endswith("\n")]
                kept = [line for line in whole_lines if _step(read_json(line)) <= done]
            except (TalkheadError, UnicodeDecodeError) as error:
                raise _damaged(losses, error) from error
            write_run_file(losses, "".join(kept))

    def add(self, progress: TrainingProgress) -> None:
        """Write one report."""
        line = {"step": progress.done, "seconds": round(progress.seconds, 1), **progress.terms}
        advice = "make room and go on from the last checkpoint with --resume"
        what = f"cannot write to {self.folder}"
        with disk_explained(what, advice), (self.folder / LOSSES).open("a") as file:
            file.write(json.dumps(line) + "\n")
        losses = {f"loss/{name}": value for name, value in progress.terms.items()}
        self._draw({**losses, "images per second": 2 * progress.pairs}, progress.done)

    def add_validation(self, step: int, values: dict[str, float]) -> None:
        """Remember what validation found."""
        self.validations.append({"step": step, **values})
        self._draw({f"validation/{name}": value for name, value in values.items()}, step)

    def _draw(self, values: dict[str, float], step: int) -> None:
        """Show numbers in TensorBoard."""
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def add_picture(self, step: int, picture: np.ndarray) -> None:
        """Show rgb uint8 (H, W, 3) in TensorBoard."""
        if self._board is not None:
            self._board.add_image("validation", picture, step, dataformats="HWC")

    def write(self, step: int, seconds: float, **more: Any) -> None:
        """Bring `run.json` up to date, whole or not at all."""
        content = {
            **self.facts,
            "steps_done": step,
            "seconds": round(seconds, 1),
            "written": time.strftime("%Y-%m-%d %H:%M:%S"),
            **more,
            "validations": self.validations,
        }
        write_run_file(self.folder / RUN, json.dumps(content, indent=2, default=str) + "\n")

    def close(self) -> None:
        """Complete TensorBoard's files."""
        if self._board is not None:
            self._board.close()

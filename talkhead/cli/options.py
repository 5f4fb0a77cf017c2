"""Options that several commands share: device and precision, printing and overwriting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from talkhead.choices import Precision
from talkhead.cli.console import plain_errors, progress_bar, show
from talkhead.options import DEVICE, OUTPUT, Count, Option

if TYPE_CHECKING:
    from talkhead.inference.engine import Engine
    from talkhead.progress import Progress


@dataclass(frozen=True)
class EngineOptions:
    """Which weights are used, and where they run."""

    weights: Annotated[
        Path | None, Option("Weights instead of the bundled ones.", DEVICE, ("--weights", "-w"))
    ] = None
    device: Annotated[str, Option("auto, cpu, cuda, cuda:N or mps.", DEVICE)] = "auto"
    precision: Annotated[
        Precision, Option("Precision", DEVICE, ("--fp16", "--bf16"), switches=True)
    ] = "fp32"
    batch_size: Annotated[
        Count | None, Option("Frames per batch. Default: what suits the device.", DEVICE)
    ] = None
    compiled: Annotated[
        bool,
        Option("Compile the model first: minutes, for long videos on a GPU.", DEVICE,
               ("--compile",)),
    ] = False  # fmt: skip

    def load(self, batch_size: int | None = None) -> Engine:
        """The engine; batch_size: where none is asked for."""
        from talkhead.inference.engine import Engine

        size = self.batch_size or batch_size
        return Engine.load(self.weights, self.device, self.precision, size, self.compiled)


@dataclass(frozen=True)
class ConsoleOptions:
    """How a command speaks, and whether it may replace files."""

    overwrite: Annotated[bool, Option("Replace existing outputs.", OUTPUT, ("--overwrite",))] = (
        False
    )
    as_json: Annotated[bool, Option("Print the result as JSON.", OUTPUT, ("--json",))] = False
    quiet: Annotated[bool, Option("No progress, only errors.", OUTPUT, ("--quiet", "-q"))] = False
    debug: Annotated[bool, Option("Log details; show tracebacks.", OUTPUT, ("--debug",))] = False

    @contextmanager
    def running(self) -> Iterator[Progress | None]:
        """Errors in one sentence and a progress bar while entered."""
        with plain_errors(self.debug, self.quiet), progress_bar(self.quiet) as progress:
            yield progress

    def show(self, facts: Any, words: str, aside: bool = False) -> None:
        """Print a result: facts for scripts, words for people."""
        show(facts if self.as_json else words, self.quiet, aside)

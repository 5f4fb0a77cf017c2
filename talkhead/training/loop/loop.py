"""The training loop: batch after batch, with reports, validation and checkpoints in between."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.interrupts import Interrupted, handlers_kept
from talkhead.training.data.batches import Batch, Batches
from talkhead.training.loop.logging import Show, TrainingProgress
from talkhead.training.loop.run_files import RunSaver
from talkhead.training.loop.state import WEIGHTS
from talkhead.training.loop.trainer import Diverged, Trainer
from talkhead.training.loop.validation import Score
from talkhead.training.options import TrainOptions


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `pairs_per_second` over the whole call; `score` is the last validation's."""

    weights: str
    steps: int
    seconds: float
    pairs_per_second: float
    skipped: int
    losses: dict[str, float]
    score: Score | None

    def line(self) -> str:
        """For people."""
        text = f"{self.weights}: {self.steps} steps, {2 * self.pairs_per_second:.1f} images/s"
        if self.score is not None:
            text += f", L1 {self.score.l1:.4f}, {self.score.relative:.2f} of doing nothing"
        return text + (f"; {self.skipped} steps were skipped" if self.skipped else "")


class Stop:
    """Set by the first Ctrl-C, SIGTERM or SIGHUP; the second is not caught.

    number: of that signal; None where none came to this process.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.number: int | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Catch the signals while the loop runs; only the main thread can."""
        with handlers_kept() as before:

            def note(number: int, frame: object) -> None:
                self.wanted, self.number = True, number
                signal.signal(number, before[number])

            for number, handler in before.items():
                if handler not in (None, signal.SIG_IGN):
                    signal.signal(number, note)
            yield


class RunningMeans:
    """Sums of the loss terms since the last report, on the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count the terms of a step."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """By name; starts anew."""
        means = {name: value.item() / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


def run_loop(
    trainer: Trainer,
    batches: Batches,
    options: TrainOptions,
    steps: int,
    saver: RunSaver | None,
    screen: AbstractContextManager[Show],
    *,
    first: int,
    seconds: float,
    finish: Callable[[], None] | None = None,
) -> Outcome:
    """Train from step `first` to the end; `seconds` were spent before it.

    The end is after `steps`, or after the minutes of the options, which replace them.
    `finish` is called by the process that saves, when all steps are done, before the last saving.

    Ctrl-C saves and raises KeyboardInterrupt. So does, where it can, what goes wrong with data,
    memory or disk: then the TalkheadError is raised after saving.
    """
    stop = Stop()
    with screen as show, closing(batches.stream(first)) as stream:
        reporter = Reporter(trainer, options, steps, saver, show, first, seconds)
        if saver:
            saver.run_log.write(first, seconds)
        try:
            with stop.watch(), trainer.explain_memory():
                _learn(reporter, stream, stop)
            reporter.report()
        except TalkheadError as error:
            if saver and reporter.step > first and not isinstance(error, Diverged):
                with suppress(TalkheadError):
                    saver.save(reporter.step, reporter.seconds)
            raise
    if saver:
        end_run(saver, reporter, None if stop.wanted else finish, stop.wanted)
    if stop.wanted:
        raise KeyboardInterrupt if stop.number is None else Interrupted(stop.number)
    pairs = (reporter.step - first) * trainer.recipe.batch_size
    return Outcome(
        weights=str(saver.folder / WEIGHTS) if saver else "",
        steps=reporter.step,
        seconds=reporter.seconds,
        pairs_per_second=pairs / max(reporter.seconds - seconds, 1e-9),
        skipped=trainer.skipped,
        losses=reporter.losses,
        score=saver.score if saver else None,
    )


def _learn(reporter: Reporter, batches: Iterator[Batch], stop: Stop) -> None:
    """Step after step, until the end of the run or until it is to stop in any process."""
    trainer, options, saver = reporter.trainer, reporter.options, reporter.saver
    saved = reporter.seconds
    while (progress := reporter.share_done()) < 1:
        reporter.add(trainer.train_step(next(batches), reporter.step, progress))
        if saver and reporter.step % options.validate_steps == 0:
            saver.validate(reporter.step)
        if saver and reporter.seconds - saved > 60 * options.save_minutes:
            saver.save(reporter.step, reporter.seconds)
            saved = reporter.seconds
        if trainer.processes.any(stop.wanted, trainer.compute.device):
            stop.wanted = True
            break


def end_run(
    saver: RunSaver, reporter: Reporter, finish: Callable[[], None] | None, stopped: bool
) -> None:
    """Save the run; one that came to its end is finished, validated and saved once more."""
    step = reporter.step
    if not stopped and finish is None:
        saver.validate(step)
    saver.save(step, reporter.seconds)  # before the end changes anything: safe, whatever comes
    if finish is not None:
        with saver.trainer.explain_memory():
            finish()
        saver.validate(step, anew=True)
        saver.save_finished(step, reporter.seconds)
    saver.run_log.close()


class Reporter:
    """How far a run is, and the means of its loss terms, shown and remembered every few steps.

    step: how many steps are done. losses: the means of the last ones.
    """

    def __init__(
        self,
        trainer: Trainer,
        options: TrainOptions,
        steps: int,
        saver: RunSaver | None,
        show: Show,
        first: int,
        seconds: float,
    ) -> None:
        self.trainer, self.options, self.steps = trainer, options, steps
        self.saver, self._show = saver, show
        self.losses: dict[str, float] = {}
        self._means = RunningMeans()
        self._start = time.monotonic() - seconds
        self.step = first
        self._reported, self._seconds = first, seconds

    @property
    def seconds(self) -> float:
        """Time spent in the loop so far, before an interruption included."""
        return time.monotonic() - self._start

    def share_done(self) -> float:
        """How much of the run is done, from 0 to 1, equal in all processes."""
        if self.options.minutes is None:
            return self.step / self.steps
        share = self.seconds / (60 * self.options.minutes)
        own = torch.tensor(share, device=self.trainer.compute.device)
        return float(self.trainer.processes.mean(own).item())

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count a step that was done, and its terms; report if it is time."""
        self.step += 1
        self._means.add(terms)
        first = not self.losses  # something to look at from the first step on
        if self.step % self.options.report_steps == 0 or first:
            self.report()

    def report(self) -> None:
        """Show and remember the means since the last report."""
        if self.step == self._reported:
            return
        now, recipe = self.seconds, self.trainer.recipe
        pace = (now - self._seconds) / (self.step - self._reported)
        self.losses = self._means.means()
        progress = TrainingProgress(
            done=self.step,
            total=None if self.options.minutes is not None else self.steps,
            seconds=now,
            left=max(0.0, self._left(now, pace)),
            pairs=recipe.batch_size / max(pace, 1e-9),
            rate=self.trainer.optimizer.param_groups[1]["lr"] / max(recipe.learning_rate, 1e-12),
            terms=self.losses,
            notes=self.saver.notes if self.saver else {},
        )
        self._reported, self._seconds = self.step, now
        self._show(progress)
        if self.saver:
            self.saver.run_log.add(progress)

    def _left(self, now: float, pace: float) -> float:
        """Seconds to the end, at the pace of the last steps."""
        if self.options.minutes is not None:
            return 60 * self.options.minutes - now
        return (self.steps - self.step) * pace

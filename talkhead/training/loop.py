"""The training loop: batch after batch, with reports, validation and checkpoints in between."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.training.batches import Batches
from talkhead.training.keeper import Keeper
from talkhead.training.learner import Diverged, Learner
from talkhead.training.report import Moment, Screen
from talkhead.training.state import WEIGHTS
from talkhead.training.validation import Score


@dataclass(frozen=True)
class Limits:
    """When to stop and when to pause: in steps and minutes; minutes replace steps."""

    steps: int
    minutes: float | None
    validate_steps: int
    save_minutes: float
    report_steps: int


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
    """Set by the first Ctrl-C (or SIGTERM); the second is not caught."""

    def __init__(self) -> None:
        self.wanted = False

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Catch the signals while the loop runs; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number: int, frame: object) -> None:
            self.wanted = True
            signal.signal(number, before[signal.Signals(number)])

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Tally:
    """Sums of the loss terms since the last report, on the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """By name; starts anew."""
        means = {name: value.item() / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


class Clock:
    """Time spent in the loop, before an interruption included."""

    def __init__(self, seconds: float) -> None:
        self._start = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def run_loop(
    learner: Learner,
    batches: Batches,
    limits: Limits,
    keeper: Keeper | None,
    screen: Screen,
    *,
    first: int,
    seconds: float,
    finish: Callable[[], None] | None = None,
) -> Outcome:
    """Train from step `first` to the end; `seconds` were spent before it.

    `finish` is called by the process that saves, when all steps are done, before the last saving.

    Ctrl-C saves and raises KeyboardInterrupt. So does, where it can, what goes wrong with data,
    memory or disk: then the TalkheadError is raised after saving.
    """
    stop, reporter = Stop(), Reporter(learner, limits, keeper, screen, first, Clock(seconds))
    clock, device = reporter.clock, learner.compute.device
    stream = batches.stream(first)
    step, saved = first, clock.seconds
    if keeper:
        keeper.diary.write(first, seconds)
    try:
        with stop.watch(), learner.memory_explained():
            while (progress := share_done(learner, limits, step, clock)) < 1:
                terms = learner.learn(next(stream), step, progress)
                step += 1
                reporter.add(terms, step)
                if keeper and step % limits.validate_steps == 0:
                    keeper.validate(step)
                if keeper and clock.seconds - saved > 60 * limits.save_minutes:
                    keeper.save(step, clock.seconds)
                    saved = clock.seconds
                if learner.team.any(stop.wanted, device):
                    stop.wanted = True
                    break
        reporter.report(step)
    except Diverged:
        raise
    except TalkheadError:
        if keeper and step > first:
            with suppress(TalkheadError):
                keeper.save(step, clock.seconds)
        raise
    finally:
        stream.close()
        screen.close()
    if keeper:
        if not stop.wanted and not finish:
            keeper.validate(step)
        keeper.save(step, clock.seconds)  # before the end changes anything: safe, whatever comes
        if not stop.wanted and finish:
            with learner.memory_explained():
                finish()
            keeper.forget()
            keeper.validate(step)
            keeper.save_finished(step, clock.seconds)
        keeper.diary.close()
    if stop.wanted:
        raise KeyboardInterrupt
    return Outcome(
        weights=str(keeper.folder / WEIGHTS) if keeper else "",
        steps=step,
        seconds=clock.seconds,
        pairs_per_second=(step - first)
        * learner.recipe.batch_size
        / max(clock.seconds - seconds, 1e-9),
        skipped=learner.skipped,
        losses=reporter.latest(),
        score=keeper.score if keeper else None,
    )


def share_done(learner: Learner, limits: Limits, step: int, clock: Clock) -> float:
    """How much of the run is done, from 0 to 1, equal in all processes."""
    if limits.minutes is None:
        return step / limits.steps
    own = torch.tensor(clock.seconds / (60 * limits.minutes), device=learner.compute.device)
    return float(learner.team.mean(own).item())


class Reporter:
    """Means of the loss terms, shown and remembered every few steps."""

    def __init__(
        self,
        learner: Learner,
        limits: Limits,
        keeper: Keeper | None,
        screen: Screen,
        first: int,
        clock: Clock,
    ) -> None:
        self.learner, self.limits, self.keeper, self.screen = learner, limits, keeper, screen
        self.clock = clock
        self._tally = Tally()
        self._losses: dict[str, float] = {}
        self._step, self._seconds = first, clock.seconds

    def add(self, terms: dict[str, Tensor], step: int) -> None:
        """Count the terms of a step; report if it is time."""
        self._tally.add(terms)
        first = not self._losses  # something to look at from the first step on
        if step % self.limits.report_steps == 0 or first:
            self.report(step)

    def report(self, step: int) -> None:
        """Show and remember the means since the last report."""
        if step == self._step:
            return
        now, recipe = self.clock.seconds, self.learner.recipe
        pace = (now - self._seconds) / (step - self._step)
        self._losses = self._tally.means()
        moment = Moment(
            done=step,
            total=None if self.limits.minutes is not None else self.limits.steps,
            seconds=now,
            left=max(0.0, self._left(step, now, pace)),
            pairs=recipe.batch_size / max(pace, 1e-9),
            rate=self.learner.optimizer.param_groups[1]["lr"] / max(recipe.learning_rate, 1e-12),
            terms=self._losses,
            notes=self.keeper.notes if self.keeper else {},
        )
        self._step, self._seconds = step, now
        self.screen.show(moment)
        if self.keeper:
            self.keeper.diary.add(moment)

    def _left(self, step: int, now: float, pace: float) -> float:
        """Seconds to the end, at the pace of the last steps."""
        if self.limits.minutes is not None:
            return 60 * self.limits.minutes - now
        return (self.limits.steps - step) * pace

    def latest(self) -> dict[str, float]:
        """The means of the last steps."""
        return self._losses

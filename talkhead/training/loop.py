"""The training loop: batch after batch, with reports, validation and checkpoints in between."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from talkhead.checkpoint import Provenance
from talkhead.models.codebook import CodebookModel
from talkhead.training.batches import Batches
from talkhead.training.codes import code_use
from talkhead.training.learner import Learner
from talkhead.training.report import Diary, Moment, Screen
from talkhead.training.state import WEIGHTS, save
from talkhead.training.validation import Score, Validation

CODE_BATCHES = 2  # whose vectors say which codes live


@dataclass(frozen=True)
class Limits:
    """When to stop and when to pause: in steps and minutes; minutes replace steps."""

    steps: int
    minutes: float | None
    validate_steps: int
    save_minutes: float


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
    *,
    folder: Path,
    diary: Diary | None,
    screen: Screen,
    validation: Validation | None,
    provenance: Provenance,
    first: int,
    seconds: float,
    report_steps: int,
) -> Outcome:
    """Train from step `first` to the end; diary, validation and files are the leader's.

    Ctrl-C saves and raises KeyboardInterrupt.
    """
    stop, tally, clock = Stop(), Tally(), Clock(seconds)
    keeper = Keeper(learner, batches, folder, diary, validation, provenance)
    stream = batches.stream(first)
    step, last_step, last_seconds = first, first, clock.seconds
    last_save, losses = clock.seconds, dict[str, float]()
    try:
        with stop.watch():
            while (progress := share_done(learner, limits, step, clock)) < 1 and not stop.wanted:
                terms = learner.learn(next(stream).to(learner.compute.device), step, progress)
                tally.add(terms)
                step += 1
                if step % report_steps == 0:
                    now = clock.seconds
                    pairs = (step - last_step) * learner.recipe.batch_size / (now - last_seconds)
                    losses = tally.means()
                    report(keeper, screen, limits, step, now, progress, pairs, losses, learner)
                    last_step, last_seconds = step, now
                if step % limits.validate_steps == 0:
                    keeper.validate(step)
                if clock.seconds - last_save > 60 * limits.save_minutes:
                    keeper.save(step, clock.seconds)
                    last_save = clock.seconds
                stop.wanted = learner.team.any(stop.wanted, learner.compute.device)
    finally:
        stream.close()  # type: ignore[attr-defined]
        screen.close()
    losses = tally.means() or losses
    if not stop.wanted:
        keeper.validate(step)
    keeper.save(step, clock.seconds)
    if diary is not None:
        diary.close()
    if stop.wanted:
        raise KeyboardInterrupt
    spent = clock.seconds - seconds
    rate = (step - first) * learner.recipe.batch_size / max(spent, 1e-9)
    return Outcome(
        str(folder / WEIGHTS),
        step,
        clock.seconds,
        rate,
        learner.skipped,
        losses,
        keeper.score,
    )


def share_done(learner: Learner, limits: Limits, step: int, clock: Clock) -> float:
    """How much of the run is done, from 0 to 1, equal in all processes."""
    if limits.minutes is None:
        return step / limits.steps
    own = torch.tensor(clock.seconds / (60 * limits.minutes), device=learner.compute.device)
    return float(learner.team.mean(own).item())


def report(
    keeper: Keeper,
    screen: Screen,
    limits: Limits,
    step: int,
    now: float,
    progress: float,
    pairs: float,
    losses: dict[str, float],
    learner: Learner,
) -> None:
    """Show and remember where the run is."""
    left = now / progress - now if progress > 0 else 0.0
    rate = learner.optimizer.param_groups[1]["lr"] / max(learner.recipe.learning_rate, 1e-12)
    total = None if limits.minutes is not None else limits.steps
    moment = Moment(step, total, progress, now, left, pairs, rate, losses, keeper.notes)
    screen.show(moment)
    if keeper.diary is not None:
        keeper.diary.add(moment)


class Keeper:
    """Validates and saves, in the leading process; nothing in the others."""

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        folder: Path,
        diary: Diary | None,
        validation: Validation | None,
        provenance: Provenance,
    ) -> None:
        self.learner, self.batches, self.folder = learner, batches, folder
        self.diary, self.validation, self.provenance = diary, validation, provenance
        self.score: Score | None = None
        self.notes: dict[str, str] = {}
        self._validated = -1

    def validate(self, step: int) -> None:
        """Judge the averaged weights; draw what they draw; count living codes."""
        if self.diary is None or self.validation is None or step == self._validated:
            return
        self._validated = step
        compute, model = self.learner.compute, self.learner.average.model
        self.score, drawn = self.validation(
            model, compute.device, compute.precision, self.learner.recipe.motion_only
        )
        pictures = self.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        self.validation.picture(pictures / f"{step:07d}.png", drawn)
        found = asdict(self.score)
        self.notes["validation"] = (
            f"L1 {self.score.l1:.4f} ({self.score.relative:.2f} of doing nothing), "
            f"PSNR {self.score.psnr:.2f} dB"
        )
        if isinstance(model, CodebookModel):
            some = (self.batches.batch(n).to(compute.device) for n in range(CODE_BATCHES))
            use = code_use(model, some)
            found |= {f"{name}_codes_used": share for name, share in use.items()}
            shares = (f"{name} {share:.0%}" for name, share in use.items())
            self.notes["codes in use"] = ", ".join(shares)
        self.diary.add_validation(step, found)

    def save(self, step: int, seconds: float) -> None:
        """Weights, state and `run.json`."""
        if self.diary is None:
            return
        notes = {"steps": step, "minutes": round(seconds / 60, 1)}
        if self.score is not None:
            notes["validation"] = asdict(self.score)  # type: ignore[assignment]
        provenance = Provenance(self.provenance.origin, self.provenance.licence, notes=notes)
        save(self.folder, self.learner, step, seconds, provenance)
        self.diary.write(step, seconds, skipped_steps=self.learner.skipped)

"""Clocks, repeated measurements, and a model's work divided into named stretches by hooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Timing:
    """Milliseconds over `count` repetitions."""

    mean: float
    median: float
    p5: float
    p95: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float], frames: int = 1) -> Timing:
        """From what each repetition took; `frames` in each of them share its time."""
        values = np.array(seconds) * 1000 / frames
        p5, median, p95 = np.percentile(values, [5, 50, 95])
        return cls(float(values.mean()), float(median), float(p5), float(p95), len(values))


@dataclass(frozen=True)
class Effort:
    """How long to measure: for `seconds`, but `least` to `most` times, after `warm_up` times."""

    seconds: float = 3.0
    least: int = 5
    most: int = 200
    warm_up: int = 2


def measure(work: Callable[[], object], wait: Callable[[], None], effort: Effort) -> list[float]:
    """Seconds of each repetition of `work`; `wait` lets the device finish what it was given."""
    for _ in range(effort.warm_up):
        work()
    samples: list[float] = []
    while len(samples) < effort.least or (
        sum(samples) < effort.seconds and len(samples) < effort.most
    ):
        wait()
        started = time.perf_counter()
        work()
        wait()
        samples.append(time.perf_counter() - started)
    return samples


@dataclass(frozen=True)
class Clock:
    """Of what only grows: time, or work done. read: where it stands; between: two readings."""

    read: Callable[[], Any]
    between: Callable[[Any, Any], float] = lambda earlier, later: later - earlier


def wall_clock(wait: Callable[[], None]) -> Clock:
    """Seconds from anywhere; the device finishes before every reading."""

    def read() -> float:
        wait()
        return time.perf_counter()

    return Clock(read)


def cuda_clock(device: torch.device) -> Clock:
    """Seconds by events in the device's own queue, which readings do not hold up."""

    def read() -> torch.cuda.Event:
        with torch.cuda.device(device):
            event = torch.cuda.Event(enable_timing=True)
            event.record()
        return event

    return Clock(read, lambda earlier, later: earlier.elapsed_time(later) / 1000)


def work_clock(counter: FlopCounterMode) -> Clock:
    """Multiply-adds of convolutions and matrix products, as torch counts them."""
    return Clock(lambda: counter.get_total_flops() // 2)


@dataclass(frozen=True)
class Part:
    """A named part of a model, at one of its feature sizes (pixels) where it has several."""

    name: str
    size: int | None = None

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name} {self.size} px"


REST = Part("warps and the rest")


@dataclass(frozen=True)
class Probe:
    """A module whose call begins a stretch.

    part:   what the stretch is called.
    inside: it ends with the call; otherwise it lasts until the next probe or the end of the
            call that surrounds it (for what goes on after a layer, such as a sequence of levels).
    scales: feature sizes, of which the call's last argument says the part's; empty: its own.
    """

    module: nn.Module
    part: Part
    inside: bool = True
    scales: tuple[int, ...] = ()


class Timeline:
    """Divides what happens on a clock among the parts of a model.

    Hooks on the probes do it, so that models hold no timing code. Use as a context manager:
    leaving it removes the hooks.
    """

    def __init__(self, probes: Sequence[Probe], clock: Clock) -> None:
        self._clock = clock
        self._marks: list[tuple[Part, Any]] = []
        self._stack = [REST]
        self._hooks: list[Any] = []
        self._probes = probes

    def __enter__(self) -> Timeline:
        for probe in self._probes:
            self._watch(probe)
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def run(self, work: Callable[[], object], wait: Callable[[], None]) -> dict[Part, float]:
        """Do `work` once; how much of the clock went to each part, in order of appearance."""
        self._marks, self._stack = [], [REST]
        self._mark()
        work()
        self._mark()
        wait()
        spent: dict[Part, float] = {}
        for (part, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            spent[part] = spent.get(part, 0.0) + self._clock.between(begin, end)
        return spent

    def _watch(self, probe: Probe) -> None:
        def begin(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            part, scales = probe.part, probe.scales
            part = Part(part.name, scales[arguments[-1]]) if scales else part
            if probe.inside:
                self._stack.append(part)
            else:
                self._stack[-1] = part
            self._mark()

        def end(module: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
            self._stack.pop()
            self._mark()

        self._hooks.append(probe.module.register_forward_pre_hook(begin))
        if probe.inside:
            self._hooks.append(probe.module.register_forward_hook(end))

    def _mark(self) -> None:
        self._marks.append((self._stack[-1], self._clock.read()))

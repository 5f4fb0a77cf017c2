"""Every stage of a render by itself: around the model, and inside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from talkhead.benchmark.machine import waiter
from talkhead.benchmark.media import RATE
from talkhead.benchmark.probes import COMPENSATION, probes
from talkhead.benchmark.timing import (
    Effort,
    Part,
    Timeline,
    Timing,
    cuda_clock,
    measure,
    wall_clock,
    work_clock,
)
from talkhead.faces.crop import cut
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import Framer
from talkhead.faces.paste import Paster
from talkhead.inference.engine import EncodedSource, Engine
from talkhead.inference.tracker import KeypointTracker
from talkhead.motion.transfer import Transfer
from talkhead.structs import Crop, Keypoints
from talkhead.video import VideoReader, VideoWriter

T = TypeVar("T")

GIGA = 1e9
MOST_FRAMES = 100  # that are held at once


@dataclass(frozen=True)
class Stage:
    """What one frame costs in one stage.

    room: "around the model", "keypoints" or "generator". part, size: what and, for parts that
    work at several feature sizes, at which. gmac: billions of multiply-adds per frame; share: of
    the device's measured peak; both None where nothing of the kind is computed.
    """

    room: str
    part: str
    size: int | None
    time: Timing
    gmac: float | None = None
    share: float | None = None

    @property
    def name(self) -> str:
        """Part and feature size, for people."""
        return str(Part(self.part, self.size))

    @property
    def compensates(self) -> bool:
        """Whether this is what compensation costs."""
        return self.part in COMPENSATION


@dataclass(frozen=True)
class Scene:
    """What the model works on: a source, driving crops, and how motion is transferred."""

    engine: Engine
    source: EncodedSource
    pictures: list[np.ndarray]
    transfer: Transfer
    tracker: KeypointTracker | None

    @classmethod
    def make(cls, engine: Engine, portrait: np.ndarray, pictures: list[np.ndarray]) -> Scene:
        """From a portrait and driving crops of the engine's size; the first crop is the anchor."""
        source = engine.encode(portrait)
        anchor = engine.detect(pictures[:1])
        transfer = engine.transfer("relative", source.keypoints, anchor)
        return cls(engine, source, pictures, transfer, engine.tracker())

    def detect(self, pictures: list[np.ndarray]) -> Keypoints:
        """Keypoints of driving pictures, as a render finds them."""
        return self.engine.detect(pictures, self.tracker)

    def batch(self, size: int) -> list[np.ndarray]:
        """So many pictures, from the beginning as often as needed."""
        return [self.pictures[i % len(self.pictures)] for i in range(size)]


def around_model(
    clip: Path, portrait: np.ndarray, size: int, folder: Path, device: torch.device
) -> list[Stage]:
    """Decoding, tracking, cropping, pasting back and encoding, each by itself, per frame.

    Decoder and encoder work ahead on threads of their own, so that single frames say little;
    what is left to do at the end is shared out among all frames.
    """
    with VideoReader(clip, frames=MOST_FRAMES) as reader:
        decode, frames = _timed(reader)
    pictures = [frame.rgb for frame in frames]
    framer = Framer("auto", FaceFinder(str(device)))
    framer.start(frames)
    track, framed = _timed(map(framer.frame, pictures))
    crops = [each.crop for each in framed if each is not None]
    pairs = zip(pictures, crops, strict=True)
    resize, squares = _timed(cut(*pair, size) for pair in pairs)
    paste, _ = _timed(map(Paster(portrait, Crop(0, 0, size), size), squares))
    target = folder / "stage.mp4"
    with VideoWriter(target, time_base=1 / RATE, rate=RATE) as writer:
        encode, _ = _timed(map(writer.write, squares, range(len(squares))))
        started = time.perf_counter()
    finish = (time.perf_counter() - started) / len(squares)
    target.unlink()
    encode = [seconds + finish for seconds in encode]
    names = ("decode", "track the face", "crop and resize", "paste back", "encode")
    samples = (decode, track, resize, paste, encode)
    return [
        Stage("around the model", name, None, Timing.of(seconds))
        for name, seconds in zip(names, samples, strict=True)
    ]


def _timed(items: Iterable[T]) -> tuple[list[float], list[T]]:
    """Every item and the seconds until it came."""
    seconds: list[float] = []
    found: list[T] = []
    started = time.perf_counter()
    for item in items:
        seconds.append(time.perf_counter() - started)
        found.append(item)
        started = time.perf_counter()
    return seconds, found


def inside_model(scene: Scene, batch: int, peak: float, effort: Effort) -> list[Stage]:
    """Keypoints, transfer and every part of drawing, per frame of a batch of that size.

    The batch is drawn as a whole, though a CPU draws its frames side by side in a render.
    """
    engine = scene.engine
    pictures = scene.batch(batch)
    keypoints = scene.detect(pictures)
    moved = scene.transfer(keypoints)
    wait = waiter(engine.device)

    def stage(room: str, part: Part, seconds: list[float], macs: float) -> Stage:
        time = Timing.of(seconds, batch)
        speed = macs / batch / (time.mean / 1000)
        return Stage(
            room, part.name, part.size, time,
            gmac=macs / batch / GIGA if macs else None,
            share=speed / peak if macs and peak else None,
        )  # fmt: skip

    detect = measure(lambda: scene.detect(pictures), wait, effort)
    detect_macs = sum(count_work(engine, lambda: scene.detect(pictures)).values())
    transfer = measure(lambda: scene.transfer(keypoints), wait, effort)
    stages = [
        stage("keypoints", Part("keypoints"), detect, detect_macs),
        stage("keypoints", Part("transfer"), transfer, 0),
    ]
    with engine.undivided():
        macs = count_work(engine, lambda: engine.render(scene.source, moved))
        times = time_parts(engine, lambda: engine.render(scene.source, moved), effort)
    drawing = [
        stage("generator", part, seconds, macs.get(part, 0)) for part, seconds in times.items()
    ]
    return stages + sorted(drawing, key=lambda each: each.part == "warps and the rest")


def time_parts(
    engine: Engine, work: Callable[[], object], effort: Effort
) -> dict[Part, list[float]]:
    """Seconds that each part of the model takes, for every repetition of `work`."""
    wait = waiter(engine.device)
    clock = cuda_clock(engine.device) if engine.device.type == "cuda" else wall_clock(wait)
    samples: dict[Part, list[float]] = {}

    def run() -> None:
        for part, seconds in timeline.run(work, wait).items():
            samples.setdefault(part, []).append(seconds)

    with Timeline(probes(engine.model), clock) as timeline:
        measure(run, wait, effort)
    return {part: seconds[effort.warm_up :] for part, seconds in samples.items()}


def count_work(engine: Engine, work: Callable[[], object]) -> dict[Part, float]:
    """Multiply-adds of convolutions and matrix products in each part of the model."""
    # Attention is taken apart for it: of the fused kernels torch does not count the CPU's.
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
        Timeline(probes(engine.model), work_clock(counter)) as timeline,
    ):
        return timeline.run(work, lambda: None)


@dataclass(frozen=True)
class Batch:
    """Keypoints, transfer and drawing of `size` frames at once.

    time: of the whole batch, from uint8 pictures to uint8 pictures; device_mb: the most that was
    held on a CUDA device.
    """

    size: int
    time: Timing
    device_mb: float | None

    @property
    def frames_per_second(self) -> float:
        """Of the model alone."""
        return 1000 * self.size / self.time.mean

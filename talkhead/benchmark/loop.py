"""The rendering loop of the published demos, for comparison.

The whole video is decoded, then every frame goes through the model alone, then the whole result is
encoded. Float32, default memory layout. For each frame the source is encoded and the movement scale
found again. Attention is taken in steps, as by the layers of the releases, which return its maps.
What they do beyond that without need (features warped twice, attention maps averaged, the memory
conditioned three times) is left out, so this loop is no slower than theirs.

It runs in a process of its own, as theirs do: nothing that ours has set (see `cli.malloc`) helps
it, and its peak of memory is its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from talkhead.benchmark.machine import PeakMemory, waiter
from talkhead.benchmark.media import RATE
from talkhead.benchmark.subject import load_subject
from talkhead.config import has_landmarks
from talkhead.faces.crop import cut_centre
from talkhead.models import Network
from talkhead.motion.transfer import Transfer
from talkhead.processes import in_processes
from talkhead.structs import Keypoints
from talkhead.video import VideoReader, VideoWriter


@dataclass(frozen=True)
class LoopRun:
    """What the plain loop took for so many frames, in seconds; MB are the most that were held."""

    frames: int
    decode: float
    model: float
    encode: float
    process_mb: float | None
    device_mb: float | None

    @property
    def seconds(self) -> float:
        """In all."""
        return self.decode + self.model + self.encode

    @property
    def frames_per_second(self) -> float:
        """End to end."""
        return self.frames / self.seconds


LoopResult = tuple[LoopRun, list[np.ndarray]]


@dataclass(frozen=True)
class Task:
    """What a loop is given: a clip whose first `frames` drive a portrait, and where to write."""

    clip: Path
    portrait: np.ndarray
    output: Path
    frames: int


def run_apart(
    model: str | None, weights: Path | None, device: torch.device, task: Task
) -> LoopResult:
    """Run the loop in a fresh process; `model` and `weights` as `load_subject` takes them."""
    killed = (
        "the plain loop was stopped from outside (out of memory?); --loop-frames 0 leaves it out"
    )
    (result,) = in_processes([(model, weights, device, task)], _run, 1, killed=killed)
    return result


def _run(model: str | None, weights: Path | None, device: torch.device, task: Task) -> LoopResult:
    return PlainLoop(load_subject(model, weights).model, device).run(task)


class PlainLoop:
    """model: float32, in default memory layout; moved to the device."""

    def __init__(self, model: Network, device: torch.device) -> None:
        self._model = model.to(device)
        self._device = device

    def run(self, task: Task) -> LoopResult:
        """One frame before the measured ones warms up."""
        portrait, size = task.portrait, task.portrait.shape[0]
        memory = PeakMemory(self._device)
        started = time.perf_counter()
        with VideoReader(task.clip, frames=task.frames) as reader:
            driving = [cut_centre(f.rgb, size) for f in reader]
        decoded = time.perf_counter()
        self.draw(portrait, driving[:1])
        waiter(self._device)()
        warm = time.perf_counter()
        pictures = self.draw(portrait, driving)
        drawn = time.perf_counter()
        with VideoWriter(task.output, time_base=1 / RATE, rate=RATE) as writer:
            for pts, picture in enumerate(pictures):
                writer.write(picture, pts)
        encoded = time.perf_counter()
        spent = LoopRun(
            frames=len(pictures),
            decode=decoded - started,
            model=drawn - warm,
            encode=encoded - drawn,
            process_mb=memory.process,
            device_mb=memory.device,
        )
        return spent, pictures

    @torch.inference_mode()
    def draw(self, portrait: np.ndarray, driving: list[np.ndarray]) -> list[np.ndarray]:
        """One frame after the other, motion relative to the first."""
        image = self._to_tensor(portrait)
        source = to_cpu(self._model.detect(image))
        anchor = to_cpu(self._model.detect(self._to_tensor(driving[0])))
        known = has_landmarks(self._model.config)
        pictures = []
        for picture in driving:
            keypoints = to_cpu(self._model.detect(self._to_tensor(picture)))
            moved = Transfer("relative", source, anchor, landmarks=known)(keypoints)
            with sdpa_kernel(SDPBackend.MATH):
                state = self._model.encode_source(image)
                drawn = self._model.render(state, moved.map(lambda t: t.to(self._device)))
            levels = drawn[0].clamp(0, 1).mul(255).round().byte()
            pictures.append(levels.permute(1, 2, 0).cpu().numpy())
        return pictures

    def _to_tensor(self, picture: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(picture).to(self._device).float() / 255
        return tensor.permute(2, 0, 1)[None].contiguous()


def to_cpu(keypoints: Keypoints) -> Keypoints:
    """Where transfer computes."""
    return keypoints.map(lambda tensor: tensor.cpu())

"""Frames of a batch, drawn side by side on the cores of a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from talkhead.structs import Keypoints

T = TypeVar("T")


class Workers:
    """Threads that draw parts of a batch, each with its share of torch's threads.

    Cores that draw one batch together wait for the slowest of them after each of a thousand small
    layers, and longest where other programs use one of them, too. Side by side they do not.

    frames: in a batch, as a rule.
    """

    def __init__(self, frames: int) -> None:
        threads = torch.get_num_threads()
        self.frames = frames
        self.count = min(frames, threads)
        self._share = threads // self.count
        self._met = threading.Barrier(self.count)
        self._pool = ThreadPoolExecutor(self.count, "draw")
        list(self._pool.map(self._begin, range(self.count)))
        torch.set_num_threads(threads)  # what threads that begin later will have

    def _begin(self, number: int) -> None:
        """Each thread's first task; torch keeps a number of threads for each."""
        self._met.wait()
        torch.get_num_threads()  # or torch would set it once more, at the thread's first layer
        torch.set_num_threads(self._share)

    def map(self, draw: Callable[[Keypoints], T], frames: Keypoints) -> list[T]:
        """What `draw` makes of each thread's part of the frames, in order; without gradients."""

        def one(part: Keypoints) -> T:
            with torch.inference_mode():
                return draw(part)

        most = -(-len(frames) // self.count)
        starts = range(0, len(frames), most)
        return list(self._pool.map(one, (frames[start : start + most] for start in starts)))

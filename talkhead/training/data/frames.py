"""The frames of a clip: in memory, on the GPU, or decoded when they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from talkhead.choices import USUAL_RATE
from talkhead.data.clips import MIN_FRAMES, Clip, frame_count
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut_centre
from talkhead.io.window import Place
from talkhead.video import VideoReader, probe
from talkhead.video.clip import read_frames


class ArrayFrames:
    """Decoded frames in memory, or mapped from a file."""

    def __init__(self, pixels: np.ndarray | Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, indices: Sequence[int]) -> Tensor:
        """Frames (n, S, S, 3) by number, where they are."""
        return torch.as_tensor(self.pixels[list(indices)])


class DeviceFrames(ArrayFrames):
    """Decoded frames on the GPU."""

    def __init__(self, pixels: np.ndarray, device: torch.device) -> None:
        super().__init__(torch.from_numpy(pixels).to(device))


class IndexedFrames:
    """A clip of a prepared set: frames are decoded when they are wanted, from the key frame before.

    Nothing is opened before that.
    """

    def __init__(self, place: Place, count: int, size: int) -> None:
        self._place = place
        self._count = count
        self._size = size

    def __len__(self) -> int:
        return self._count

    def take(self, indices: Sequence[int]) -> Tensor:
        """Frames (n, S, S, 3) by number. Raises TalkheadError for damage."""
        pictures = read_frames(self._place, indices)
        return torch.from_numpy(np.stack([cut_centre(each, self._size) for each in pictures]))


class StreamedFrames:
    """Any other clip that is decoded anew for every pair; its header is read when first needed."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._count: int | None = None
        self._rate = float(USUAL_RATE)

    def __len__(self) -> int:
        if self._count is None:
            info = probe(self.path)
            self._rate = float(info.rate or USUAL_RATE)
            self._count = frame_count(info)
            if self._count < MIN_FRAMES:
                raise TalkheadError(f"{self.path} is too short: {self._count} frame")
        return self._count

    def take(self, indices: Sequence[int]) -> Tensor:
        """Frames (n, S, S, 3) by number. Raises TalkheadError for damage."""
        len(self)  # the rate is known after it
        frames = []
        for index in indices:
            start = max(0.0, (index - 0.5) / self._rate)
            with VideoReader(self.path, start=start, frames=1, rate=self._rate) as reader:
                frames.append(cut_centre(next(iter(reader)).rgb, self.size))
        return torch.from_numpy(np.stack(frames))


Frames = ArrayFrames | IndexedFrames | StreamedFrames  # uint8 RGB, S x S


def frames_on_demand(clip: Clip, size: int) -> IndexedFrames | StreamedFrames:
    """Frames of a clip that is not opened yet."""
    if clip.known is not None:
        return IndexedFrames(clip.known.place, clip.known.frames, size)
    return StreamedFrames(clip.path, size)

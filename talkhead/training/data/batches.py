"""Batches of frame pairs. What item n of a run is depends on the seed and on n alone.

So the order of the data needs no state: a resumed run, or one on more processes, sees the same
pairs with the same changes.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from talkhead.motion.optical_flow import optical_flow, small_grey
from talkhead.structs import NOWHERE, map_tensors
from talkhead.topology import MESH_POINTS
from talkhead.training.data import augment
from talkhead.training.data.augment import Change
from talkhead.training.data.library import Library
from talkhead.training.data.pairs import Pair, Pairs
from talkhead.training.data.prefetch import from_processes, from_threads
from talkhead.training.data.random_warp import RandomWarp, draw_warp, stack_warps
from talkhead.training.recipes.recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """B pairs of frames of one person each.

    source, driving: (B, 3, S, S) in [0, 1].
    source_landmarks, driving_landmarks: (B, 478, 2) in [-1, 1] at the centres of the border pixels;
        `NOWHERE` where not known. has_landmarks: (B,) bool, where they are known.
    warp:  of the driving picture, for equivariance.
    flow, confidence: (B, h, w, 2) and (B, h, w) as `optical_flow` gives them, or None.
    """

    source: Tensor
    driving: Tensor
    source_landmarks: Tensor
    driving_landmarks: Tensor
    has_landmarks: Tensor
    warp: RandomWarp
    flow: Tensor | None = None
    confidence: Tensor | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, items: slice) -> Batch:
        """A part of the batch."""
        return map_tensors(self, lambda tensor: tensor[items])


@dataclass(frozen=True)
class Draw:
    """B pairs as they are on disk, and what is to be done to their pixels.

    pixels: uint8 (B, 2, S, S, 3). landmarks: (B, 2, 478, 2), already where the change puts them.
    The rest is as in `Batch`.
    """

    pixels: Tensor
    landmarks: Tensor
    has_landmarks: Tensor
    change: Change
    warp: RandomWarp
    flow: Tensor | None = None
    confidence: Tensor | None = None

    def to(self, device: torch.device) -> Draw:
        """The same on a device."""
        return map_tensors(self, lambda tensor: tensor.to(device))

    def finish(self) -> Batch:
        """Change the pixels, where they are."""
        images = self.pixels.permute(0, 1, 4, 2, 3).float() / 255
        images = augment.recolour(augment.move(images, self.change), self.change)
        return Batch(
            source=images[:, 0].contiguous(memory_format=torch.channels_last),
            driving=images[:, 1].contiguous(memory_format=torch.channels_last),
            source_landmarks=self.landmarks[:, 0],
            driving_landmarks=self.landmarks[:, 1],
            has_landmarks=self.has_landmarks,
            warp=self.warp,
            flow=self.flow,
            confidence=self.confidence,
        )


@dataclass(frozen=True)
class Item:
    """A pair, and the numbers that say how it is changed."""

    pair: Pair
    change: dict[str, np.ndarray]
    warp: np.ndarray


@dataclass(eq=False)
class Batches:
    """Draws and prepares the batches of one process.

    size:    of the pictures. flow_size: of the optical flow, None: not wanted.
    portraits: pictures with landmarks, of which pairs are made by turning heads.
    share:   (number of this process, number of processes) of every global batch.
    mirror:  (478,), which landmark each one becomes in the mirrored picture.
    workers: threads or processes that prepare what comes next.
    device:  where batches are wanted; their pixels are changed there.
    """

    library: Library
    recipe: Recipe
    _: KW_ONLY
    size: int
    seed: int
    flow_size: int | None = None
    portraits: Library | None = None
    share: tuple[int, int] = (0, 1)
    mirror: Tensor | None = None
    workers: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self.pairs = Pairs(self.library, self.portraits, self.recipe.augmentation)

    def stream(self, step: int) -> Generator[Batch, None, None]:
        """The batches from a step on, endlessly; workers run ahead.

        Where a GPU learns, threads would hold up the one that feeds it: processes draw.
        """
        if self.device.type != "cuda" or not self.library.in_memory:
            yield from from_threads(self.batch, step, self.workers)
            return
        with closing(from_processes(self.draw, step, self.workers)) as draws:
            for draw in draws:
                yield draw.to(self.device).finish()

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        return self.draw(step).to(self.device).finish()

    def draw(self, step: int) -> Draw:
        """The same before its pixels are changed, where the library keeps them."""
        rank, processes = self.share
        own = self.recipe.batch_size // processes
        first = step * self.recipe.batch_size + rank * own
        return self.assemble([self.item(first + number) for number in range(own)])

    def item(self, number: int) -> Item:
        """Item `number` of the run: a random pair, and changes."""
        rng, how = np.random.default_rng([self.seed, number]), self.recipe
        return Item(
            pair=self.pairs.draw(rng),
            change=augment.draw(rng, how.augmentation),
            warp=draw_warp(rng, how.equivariance_affine, how.equivariance_bend),
        )

    def assemble(self, items: list[Item]) -> Draw:
        """Stack items, move their landmarks, find the flow."""
        how = self.recipe
        pixels = torch.stack([item.pair.pixels for item in items])
        change = augment.stack([item.change for item in items], how.augmentation)
        known = [item.pair.landmarks for item in items]
        has_landmarks = torch.tensor([each is not None for each in known])
        nothing = np.zeros((2, MESH_POINTS, 2), np.float32)
        points = np.stack([nothing if each is None else each[..., :2] for each in known])
        centred = torch.from_numpy(points) * (self.size / (self.size - 1))  # edges to pixel centres
        mirror = torch.arange(MESH_POINTS) if self.mirror is None else self.mirror
        landmarks = augment.move_points(centred, change, mirror)
        landmarks = torch.where(has_landmarks[:, None, None, None], landmarks, NOWHERE)
        warp = stack_warps([item.warp for item in items], how.equivariance_kernel)
        draw = Draw(pixels, landmarks, has_landmarks, change, warp)
        if self.flow_size is None:
            return draw
        moved = augment.move(small_grey(pixels).cpu()[:, :, None], change)[:, :, 0].byte().numpy()
        flow, confidence = optical_flow(
            [(source, driving) for source, driving in moved], self.flow_size
        )
        return replace(draw, flow=flow, confidence=confidence)

"""Choose the batch size by measuring."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

log = logging.getLogger(__name__)

# Used untried on a CPU, whose cores one frame keeps busy: more than 4 gained nothing there.
DEFAULT_BATCH = {"cpu": 4, "cuda": 16}
CANDIDATES = (4, 8, 16, 32, 64)
WORTH = 1.05  # how much quicker a frame must become for a larger batch's memory and delay


def best_batch(seconds: Callable[[int], float], sizes: Sequence[int] = CANDIDATES) -> int:
    """The largest of increasing `sizes` up to which each still pays.

    seconds: what drawing a batch of a size takes; it may raise torch.OutOfMemoryError, at which
             the search ends. Raises that error when even the first is too large.
    """
    best, best_rate = sizes[0], 0.0
    for size in sizes:
        try:
            rate = size / seconds(size)
        except torch.OutOfMemoryError:
            if best_rate == 0:
                raise
            break
        if rate < WORTH * best_rate:
            break
        best, best_rate = size, rate
    log.info("batches of %d frames (%.1f frames per second by itself)", best, best_rate)
    return best

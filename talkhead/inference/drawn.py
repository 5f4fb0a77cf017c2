"""Drawn batches: from a model's output to pictures, which may still be on their way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from talkhead.inference.transport import Download
from talkhead.models.detail import SourceDetail
from talkhead.structs import Keypoints, RenderParts

# Of results with detail: on a CPU what lies between them and the model must not leave the caches.
PIXELS_AT_ONCE = {"cpu": 2**18, "cuda": 2**23}


def lay_in(detail: SourceDetail, parts: RenderParts) -> tuple[Tensor, Tensor]:
    """Pictures uint8 (B, T, T, 3) with a source's detail, and whether all parts are finite.

    So few at once that what lies between fits the caches of a CPU or the memory of a GPU.
    """
    most = PIXELS_AT_ONCE.get(detail.texture.device.type, PIXELS_AT_ONCE["cpu"])
    pieces = parts.split(max(1, most // detail.size**2))
    levels = [to_levels(detail.lay_in(piece)) for piece in pieces]
    finite = torch.isfinite(parts.image).all() & torch.isfinite(parts.flow).all()
    return torch.cat(levels), finite


def to_levels(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> uint8 (B, H, W, 3)."""
    levels = images.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous()


def fill_up(keypoints: Keypoints, size: int) -> Keypoints:
    """A batch of at least `size`: the last is repeated as often as that takes."""
    missing = max(size - len(keypoints), 0)
    return keypoints.map(lambda t: torch.cat([t, t[-1:].expand(missing, *t.shape[1:])]))


class PendingBatch:
    """Pictures that a device may still be drawing."""

    def __init__(self, found: Download, again: Callable[[], np.ndarray]) -> None:
        self._found = found
        self._again = again

    @cached_property
    def pictures(self) -> np.ndarray:
        """uint8 (B, S, S, 3), waited for; drawn again where they came out non-finite."""
        levels, finite = self._found.arrived()
        return levels.numpy() if bool(finite) else self._again()

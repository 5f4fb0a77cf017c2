"""Points of face meshes, by their constant numbers."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

Numbers = tuple[int, ...] | tuple[tuple[int, ...], ...]


def pick(mesh: Tensor, numbers: Numbers) -> Tensor:
    """Points (B, ..., 2 or 3) of meshes (B, 478, 2 or 3), in the shape of their numbers."""
    return mesh[:, indices(numbers, mesh.device)]


@cache
def indices(numbers: Numbers, device: torch.device) -> Tensor:
    """Constant numbers on a device, sent there once: a GPU is waited for whenever they are sent."""
    with torch.inference_mode(False):  # training takes the same
        return torch.tensor(numbers, device=device)

"""Index face meshes by constant point numbers."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

Numbers = tuple[int, ...] | tuple[tuple[int, ...], ...]


def mesh_points(mesh: Tensor, numbers: Numbers) -> Tensor:
    """Points (B, ..., 2 or 3) of meshes (B, 478, 2 or 3), in the shape of their numbers."""
    return mesh[:, index_tensor(numbers, mesh.device)]


def index_tensor(numbers: Numbers, device: torch.device) -> Tensor:
    """Index tensor on a device, cached: to copy one at every call makes the CPU wait for a GPU."""
    if torch.compiler.is_compiling():  # compiled code has constants of its own
        return torch.tensor(numbers, device=device)
    return _cached(numbers, device)


@cache
def _cached(numbers: Numbers, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # training uses the same tensor
        return torch.tensor(numbers, device=device)

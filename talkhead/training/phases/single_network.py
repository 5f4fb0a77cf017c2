"""Steps that train one network alone, before the loop."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from talkhead.training.distributed import ProcessGroup

LARGEST_GRADIENT = 5.0


def rate_share(step: int, steps: int, warmup: int, floor: float) -> float:
    """The share of the full learning rate at step number `step`: linear warm-up, then a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps)) + floor
    return min(1.0, (step + 1) / warmup) * cosine


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters one learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def update(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, processes: ProcessGroup
) -> bool:
    """One step down a loss; whether it was made, which it is where the gradient is finite."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    processes.average_gradients(network.parameters())
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    if finite := bool(torch.isfinite(norm)):
        optimizer.step()
    return finite

"""Put a network into evaluation or training mode for a while, and restore it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode: batch norms keep their statistics. Every module's own mode is restored."""
    with _restored(network):
        network.eval()
        yield


@contextmanager
def unfrozen(network: nn.Module) -> Iterator[None]:
    """Training mode with all parameters trainable. What was frozen is frozen again afterwards."""
    frozen = [parameter for parameter in network.parameters() if not parameter.requires_grad]
    with _restored(network):
        network.train().requires_grad_(True)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)


@contextmanager
def _restored(network: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in network.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training

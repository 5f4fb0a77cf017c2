"""Modes that networks are in for a while: looked at, or learning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Batch norms do not learn from being looked at; each part's own mode comes back."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def learning(network: nn.Module) -> Iterator[None]:
    """All parameters learn, also those that rest in the run; each rests again afterwards."""
    rest = [parameter for parameter in network.parameters() if not parameter.requires_grad]
    modes = [(part, part.training) for part in network.modules()]
    network.train().requires_grad_(True)
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
        for parameter in rest:
            parameter.requires_grad_(False)

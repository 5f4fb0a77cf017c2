"""Hooks that mark the parts of each model family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from talkhead.benchmark.timing import Part, Probe
from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.models.memory import FaceMemory, MemoryPort

COMPENSATION = ("motion compensation", "appearance compensation", "fusion", "memory")


def probes(model: nn.Module) -> list[Probe]:
    """Of drawing; a model of no known family has none."""
    if not isinstance(model, Network):
        return []
    sizes = list(model.config.scale_sizes)
    found = [inside(model.dense_motion, "dense motion"), inside(model.decoder, "decoder", sizes[0])]
    if isinstance(model, CodebookModel):
        return found + _codebook(model, sizes)
    if model.memory is not None:
        found += _memory(model.memory, sizes)
    ups = model.decoder.up
    return found + [onwards(up, "decoder", size) for up, size in zip(ups, sizes[1:], strict=True)]


def inside(module: nn.Module, name: str, size: int | None = None) -> Probe:
    """A stretch that is one call of a module."""
    return Probe(module, _always(Part(name, size)))


def onwards(module: nn.Module, name: str, size: int) -> Probe:
    """A stretch from a module's call up to the next."""
    return Probe(module, _always(Part(name, size)), inside=False)


def _always(part: Part) -> Callable[[tuple[Any, ...]], Part]:
    return lambda arguments: part


def _codebook(model: CodebookModel, sizes: list[int]) -> list[Probe]:
    found = []
    for size, level in zip(sizes[1:], model.decoder.levels, strict=True):
        assert isinstance(level.fusion, nn.Module)
        found += [onwards(level, "decoder", size), inside(level.fusion, "fusion", size)]
    # Both compensators serve all scales; the last argument says which.
    for module, name in (
        (model.motion, "motion compensation"),
        (model.appearance, "appearance compensation"),
    ):
        if module is not None:
            found.append(Probe(module, lambda args, name=name: Part(name, sizes[args[-1]])))  # type: ignore[misc]
    return found


def _memory(memory: FaceMemory, sizes: list[int]) -> list[Probe]:
    scales = memory.config.scales
    found = [inside(memory, "memory", sizes[scales[0]])]
    for scale in scales:
        port = memory.ports[str(scale)]
        assert isinstance(port, MemoryPort)
        found.append(onwards(port.project, "memory", sizes[scale]))
    return found

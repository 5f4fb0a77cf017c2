"""Hooks that mark the parts of each model family."""

from __future__ import annotations

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
    sizes = model.config.scale_sizes
    found = [
        Probe(model.dense_motion, Part("dense motion")),
        Probe(model.decoder, Part("decoder", sizes[0])),
    ]
    if isinstance(model, CodebookModel):
        return found + _codebook(model, sizes)
    if model.memory is not None:
        found += _memory(model.memory, sizes)
    ups = zip(model.decoder.up, sizes[1:], strict=True)
    return found + [Probe(up, Part("decoder", size), inside=False) for up, size in ups]


def _codebook(model: CodebookModel, sizes: tuple[int, ...]) -> list[Probe]:
    found = []
    for size, level in zip(sizes[1:], model.decoder.levels, strict=True):
        assert isinstance(level.fusion, nn.Module)
        found.append(Probe(level, Part("decoder", size), inside=False))
        found.append(Probe(level.fusion, Part("fusion", size)))
    # Both compensators serve all scales.
    if model.motion is not None:
        found.append(Probe(model.motion, Part("motion compensation"), scales=sizes))
    if model.appearance is not None:
        found.append(Probe(model.appearance, Part("appearance compensation"), scales=sizes))
    return found


def _memory(memory: FaceMemory, sizes: tuple[int, ...]) -> list[Probe]:
    scales = memory.config.scales
    found = [Probe(memory, Part("memory", sizes[scales[0]]))]
    for scale in scales:
        port = memory.ports[str(scale)]
        assert isinstance(port, MemoryPort)
        found.append(Probe(port.project, Part("memory", sizes[scale]), inside=False))
    return found

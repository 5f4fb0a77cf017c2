"""Colour scales that all frames of a run share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from talkhead.figures.activations import Activations, MemoryUse
from talkhead.figures.colour import Basis

NUM_CHANNELS = 12  # of the memory, that are shown
MOST = 99.5  # per cent of values that stay below the end of a scale


@dataclass(frozen=True)
class ColorScales:
    """Fixed on one frame, used for all.

    movement, residual: pixels of the picture that are shown in full colour.
    bases, changes: for each feature size its colours, and the mean change shown as the most.
    channels:  of the memory: those that conditioning changes most.
    memory:    largest values shown, of the bank and of the conditioned memory.
    """

    movement: float
    residual: float
    bases: dict[int, Basis]
    changes: dict[int, float]
    channels: tuple[int, ...]
    memory: tuple[float, float]

    @classmethod
    def of(cls, activations: Activations) -> ColorScales:
        """The scales that suit one frame."""
        inside, side = activations.inside, activations.source.picture.shape[0]
        flows = [displace(activations.deformation), displace(inside.motion)]
        residuals = [step.residual for step in inside.flows]
        return cls(
            movement=max(1.0, math.ceil(most(lengths(flows, side)))),
            residual=max(0.1, math.ceil(10 * most(lengths(residuals, side))) / 10),
            bases={step.size: Basis.of(step.maps) for step in inside.features},
            changes={
                step.size: most(change(step.warped, step.compensated))
                for step in inside.features
                if step.compensated is not None
            },
            channels=telling_channels(inside.memory),
            memory=memory_range(inside.memory),
        )


def displace(grid: np.ndarray) -> np.ndarray:
    """A deformation (h, w, 2) minus the grid that leaves everything in place."""
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in grid.shape[:2])
    return grid - np.stack(np.meshgrid(x, y), axis=-1)


def movement(flow: np.ndarray, side: int) -> np.ndarray:
    """Which way the picture moves, in its pixels: a flow says where to look, so the other way."""
    return -flow * (side - 1) / 2


def lengths(flows: list[np.ndarray], side: int) -> np.ndarray:
    """How far the picture moves, everywhere in all of the flows; 0 for none."""
    if not flows:
        return np.zeros(1)
    return np.concatenate([np.hypot(*np.moveaxis(movement(f, side), -1, 0)).ravel() for f in flows])


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mean absolute change over the channels of features (C, h, w)."""
    return np.abs(after - before).mean(0)


def most(values: np.ndarray) -> float:
    """What all but a few values stay below; never zero."""
    return max(float(np.percentile(values, MOST)), 1e-6)


def telling_channels(memory: MemoryUse | None) -> tuple[int, ...]:
    """Channels of the memory that conditioning changes most, in their order."""
    if memory is None or not memory.conditioned:
        return ()
    changes = sum(np.abs(each - memory.bank).mean((1, 2)) for each in memory.conditioned.values())
    return tuple(sorted(int(i) for i in np.argsort(-np.asarray(changes))[:NUM_CHANNELS]))


def memory_range(memory: MemoryUse | None) -> tuple[float, float]:
    """Ends of the scales of the bank and of what it became."""
    if memory is None or not memory.conditioned:
        return 1.0, 1.0
    after = max(most(np.abs(each)) for each in memory.conditioned.values())
    return most(np.abs(memory.bank)), after

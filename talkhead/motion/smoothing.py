"""Temporal smoothing of keypoints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.motion.transfer import OneEuro
from talkhead.structs import Keypoints, known


class Smoother:
    """Causal smoothing of keypoints over time: still faces are steadied, quick motion passes.

    `strength` runs from 0 (nothing happens) to 1 (1/2 Hz at rest). Meshes that are not known stay
    so, and smoothing begins anew after them.
    """

    def __init__(self, strength: float) -> None:
        if not 0 <= strength <= 1:
            raise TalkheadError(f"smoothing must lie between 0 and 1, not {strength}")
        self._strength = strength
        self._value, self._jacobian, self._mesh = (OneEuro(strength) for _ in range(3))

    def __call__(self, keypoints: Keypoints, seconds: Sequence[float]) -> Keypoints:
        """Smooth the next frames, a batch in order with the time of each in seconds."""
        if self._strength == 0:
            return keypoints
        value, jacobian, mesh = keypoints.value, keypoints.jacobian, keypoints.mesh
        return Keypoints(
            self._value(value, seconds),
            None if jacobian is None else self._jacobian(jacobian, seconds),
            None if mesh is None else self._mesh(mesh, seconds, known(mesh).tolist()),
        )


def _weight(cutoff: Tensor, step: float) -> Tensor:
    """Share of the new sample in a first-order low-pass, for a cut-off in Hz and a step in s."""
    turn = 2 * math.pi * cutoff * step
    return turn / (turn + 1)

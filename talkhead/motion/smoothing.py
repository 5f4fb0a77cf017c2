"""Temporal smoothing of keypoints."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.structs import Keypoints, is_known


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
            None if mesh is None else self._mesh(mesh, seconds, is_known(mesh).tolist()),
        )


class OneEuro:
    """The One-Euro filter (Casiez, Roussel, Vogel: "1 Euro Filter", CHI 2012).

    A first-order low-pass whose cut-off frequency grows with speed.
    """

    def __init__(self, strength: float) -> None:
        # At rest 8 Hz leaves visible jitter alone and 0.5 Hz removes it. Keypoints of speech move
        # at about 1 unit per second and need some 8 Hz to pass undelayed, whatever the strength.
        self._rest_cutoff = 8.0 * (0.5 / 8.0) ** strength
        self._gain = 8.0
        self._last: tuple[float, Tensor, Tensor] | None = None

    def __call__(
        self, rows: Tensor, seconds: Sequence[float], sure: Sequence[bool] | None = None
    ) -> Tensor:
        """Smooth the next rows (B, ...); what is not `sure` passes and is forgotten."""
        smooth = []
        for number, (row, now) in enumerate(zip(rows.float(), seconds, strict=True)):
            if sure is None or sure[number]:
                smooth.append(self._step(row, now))
            else:
                smooth.append(row)
                self._last = None
        return torch.stack(smooth)

    def _step(self, row: Tensor, now: float) -> Tensor:
        if self._last is None:
            self._last = (now, row, torch.zeros_like(row))
            return row
        before, value, speed = self._last
        step = max(now - before, 1e-3)  # two frames with one time stamp still are two frames
        speed_now = (row - value) / step
        speed = speed + (speed_now - speed) * _weight(torch.ones_like(row), step)
        cutoff = self._rest_cutoff + self._gain * speed.abs()
        value = value + (row - value) * _weight(cutoff, step)
        self._last = (now, value, speed)
        return value


def _weight(cutoff: Tensor, step: float) -> Tensor:
    """Share of the new sample in a first-order low-pass, for a cut-off in Hz and a step in s."""
    turn = 2 * math.pi * cutoff * step
    return turn / (turn + 1)

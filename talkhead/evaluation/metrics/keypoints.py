"""Metrics of motion that need no download: our own keypoints, and landmark files beside clips."""

from __future__ import annotations

import numpy as np

from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.landmarks import REGIONS, LandmarkFolder
from talkhead.inference.engine import Engine

MARGIN = 0.04  # of the picture's side, around the box of a region's points


class KeypointMetrics:
    """Mean distance, in pixels, of the keypoints of the result from those that it should have.

    These are the driving frame's or, for relative motion, the source's moved like the driver's.
    One engine finds them all and measures all methods. Its own weights have an advantage: they
    are drawn to fit what their detector sees.
    """

    metrics = ("keypoints",)

    def __init__(self, engine: Engine) -> None:
        self.key = f"keypoints-{engine.weights[:12]}-{engine.precision}"
        self._engine = engine

    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        wanted = self._engine.detect(list(batch.driving))
        if batch.anchor is not None:
            source, anchor = (self._engine.detect([p]) for p in (batch.source, batch.anchor))
            wanted = self._engine.transfer("relative", source, anchor)(wanted)
        found = self._engine.detect(list(batch.results))
        # -1 and 1 are the centres of the border pixels.
        pixels = (found.value - wanted.value) * (batch.source.shape[0] - 1) / 2
        return {"keypoints": pixels.norm(dim=-1).mean(dim=1).double().numpy()}


class RegionMetrics:
    """L1 within the boxes around mouth, eyes and face, where landmark files say those are.

    Not measured: frames without points, clips without a file.
    """

    metrics = ("l1_mouth", "l1_eyes", "l1_face")

    def __init__(self, landmarks: LandmarkFolder) -> None:
        self.key = f"regions-2-{landmarks.key}"
        self._landmarks = landmarks

    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        side = batch.source.shape[0]
        points = self._landmarks.points(batch.clip, side)
        values = np.full((len(batch.numbers), len(self.metrics)), np.nan)
        for i, number in enumerate(batch.numbers):
            if points is None or number >= len(points) or not np.isfinite(points[number]).all():
                continue
            difference = np.abs(batch.results[i].astype(np.int16) - batch.driving[i])
            for j, metric in enumerate(self.metrics):
                region = REGIONS[points.shape[1]][metric.removeprefix("l1_")]
                rows, columns = box(points[number][list(region)], side)
                values[i, j] = difference[rows, columns].mean() / 255
        return dict(zip(self.metrics, values.T, strict=True))


def box(points: np.ndarray, side: int) -> tuple[slice, slice]:
    """Rows and columns of the box around points (P, 2), with a margin, within the picture."""
    room = MARGIN * side
    low = np.clip(np.floor(points.min(axis=0) - room), 0, side - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + room), low + 1, side).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])

"""Metrics of motion that need no download: our own keypoints, and regions by landmarks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.landmarks import REGIONS, LandmarkFolder
from talkhead.faces.crop import resize
from talkhead.faces.crop_mesh import CropMesh
from talkhead.inference.engine import Engine
from talkhead.structs import Keypoints

MESH_KEY = "mesh-1"  # of scores by the bundled face mesh; changes when those would
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
        """Distance in pixels for each result."""
        wanted = self._find(batch.driving)
        if batch.anchor is not None:
            source, anchor = (self._find([p]) for p in (batch.source, batch.anchor))
            wanted = self._engine.transfer("relative", source, anchor)(wanted)
        found = self._find(batch.results)
        # -1 and 1 are the centres of the border pixels.
        pixels = (found.value - wanted.value) * (batch.source.shape[0] - 1) / 2
        return {"keypoints": pixels.norm(dim=-1).mean(dim=1).double().numpy()}

    def _find(self, pictures: Iterable[np.ndarray]) -> Keypoints:
        """Of pictures of any size."""
        return self._engine.detect([resize(each, self._engine.image_size) for each in pictures])


class RegionMetrics:
    """L1 within the boxes around mouth, eyes and face, where landmarks say those are.

    landmarks: files, or the face mesh, which looks at the driving frames. Not measured: frames
    without points, clips without a file.
    """

    metrics = ("l1_mouth", "l1_eyes", "l1_face")

    def __init__(self, landmarks: LandmarkFolder | CropMesh) -> None:
        self._landmarks = landmarks
        source = landmarks.key if isinstance(landmarks, LandmarkFolder) else MESH_KEY
        self.key = f"regions-3-{source}"

    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        """L1 within each region for each result."""
        values = np.full((len(batch.numbers), len(self.metrics)), np.nan)
        for i, points in enumerate(self._points(batch)):
            if points is None or not np.isfinite(points).all():
                continue
            difference = np.abs(batch.results[i].astype(np.int16) - batch.driving[i])
            for j, metric in enumerate(self.metrics):
                region = REGIONS[len(points)][metric.removeprefix("l1_")]
                rows, columns = box(points[list(region)], batch.source.shape[0])
                values[i, j] = difference[rows, columns].mean() / 255
        return dict(zip(self.metrics, values.T, strict=True))

    def _points(self, batch: FrameBatch) -> list[np.ndarray | None]:
        """(P, 2) of every driving frame, None where there are none."""
        if isinstance(self._landmarks, CropMesh):
            return [points[:, :2] for points in self._landmarks(batch.driving)]
        known = self._landmarks.points(batch.clip, batch.source.shape[0])
        if known is None:
            return [None] * len(batch.numbers)
        return [known[n] if n < len(known) else None for n in batch.numbers]


def box(points: np.ndarray, side: int) -> tuple[slice, slice]:
    """Rows and columns of the box around points (P, 2), with a margin, within the picture."""
    room = MARGIN * side
    low = np.clip(np.floor(points.min(axis=0) - room), 0, side - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + room), low + 1, side).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])

"""Metrics of faces: landmarks (AKD), identity (AED, CSIM), pose and expression (PRMSE, AUCON).

A metric is given a function that looks at one picture and returns an array, or None where it finds
no face; what is computed from it is the same whoever looks. See `backends` for the networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from math import nan

import numpy as np

from talkhead.evaluation.metrics.base import FrameBatch

FaceEncoder = Callable[[np.ndarray], np.ndarray | None]
Distance = Callable[[np.ndarray, np.ndarray], float]

CACHED = 20_000  # pictures, at a few kilobytes each


class CachedEncoder:
    """Looks at equal pictures only once: driving frames come again for every method."""

    def __init__(self, encoder: FaceEncoder) -> None:
        self._encode = encoder
        self._seen: dict[bytes, np.ndarray | None] = {}

    def __call__(self, pictures: np.ndarray) -> list[np.ndarray | None]:
        """What is found in each of a batch."""
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: np.ndarray) -> np.ndarray | None:
        digest = hashlib.sha256(picture.tobytes()).digest()
        if digest not in self._seen:
            if len(self._seen) >= CACHED:
                self._seen.clear()
            self._seen[digest] = self._encode(picture)
        return self._seen[digest]


def euclidean(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of points (P, 2)."""
    return float(np.linalg.norm(a - b, axis=-1).mean())


def absolute(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of all coordinates."""
    return float(np.abs(a - b).mean())


def squared(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of squared differences."""
    return float(np.square(a - b).sum())


def rooted(a: np.ndarray, b: np.ndarray) -> float:
    """Length of the difference."""
    return float(np.linalg.norm(a - b))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between two vectors."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def pose_error(a: np.ndarray, b: np.ndarray) -> float:
    """Root of the mean squared difference of three head angles, which come first."""
    return float(np.sqrt(np.square(a[:3] - b[:3]).mean()))


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Share of action units (behind three angles) that are on (0.5 or more) in both or neither."""
    return float(((a[3:] >= 0.5) == (b[3:] >= 0.5)).mean())


class FaceMetric:
    """Compares what one network sees in each result and in the driving frame, or in the source.

    distances: by metric. with_source: compare with the source, for metrics of identity.
    """

    def __init__(
        self,
        key: str,
        encoder: FaceEncoder,
        distances: Mapping[str, Distance],
        with_source: bool = False,
    ) -> None:
        self.key = key
        self.metrics = tuple(distances)
        self._encode = CachedEncoder(encoder)
        self._distances = distances
        self._with_source = with_source

    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        """One distance for each result; NaN where a face is missing."""
        results = self._encode(batch.results)
        if self._with_source:
            others = self._encode(batch.source[None]) * len(results)
        else:
            others = self._encode(batch.driving)
        pairs = list(zip(results, others, strict=True))
        return {
            name: np.array([nan if a is None or b is None else far(a, b) for a, b in pairs])
            for name, far in self._distances.items()
        }

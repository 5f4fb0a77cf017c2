"""Means, ratios and bootstrap intervals of per-frame values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 1000  # of the bootstrap
COVERAGE = 0.95  # of the confidence interval
MIN_CLIPS = 5  # drawing fewer again says nothing about clips that were not seen


@dataclass(frozen=True)
class Score:
    """A metric over a test set; None where there was nothing to measure.

    frame_mean: over all measured frames, as published (long clips weigh more).
    clip_mean:  over the means of the clips.
    low, high:  95 % interval of the frame mean by bootstrap over clips; None for few clips.
    judged:     share of the frames that could be measured.
    """

    frame_mean: float | None
    clip_mean: float | None = None
    low: float | None = None
    high: float | None = None
    judged: float = 1.0


def summarise(clips: dict[str, np.ndarray]) -> Score:
    """Scores from values per frame by clip; NaN means that a frame could not be measured."""
    counts = np.array([np.isfinite(values).sum() for values in clips.values()], dtype=float)
    sums = np.array([np.nansum(values) for values in clips.values()])
    total = sum(len(values) for values in clips.values())
    judged = counts > 0
    if not judged.any():
        return Score(None, judged=0.0)
    return quotient(sums[judged], counts[judged], counts.sum() / total)


def ratio(clips: Sequence[np.ndarray]) -> Score:
    """Sum of one's errors over the sum of another's, from (2, frames) of each clip.

    Over the frames where both are known; its clip mean is that of the clips' ratios.
    """
    known = [pair[:, np.isfinite(pair).all(axis=0)] for pair in clips]
    sums = np.array([pair.sum(axis=1) for pair in known]).reshape(-1, 2)
    moved = sums[sums[:, 1] > 0]
    if not len(moved):
        return Score(None, judged=0.0)
    judged = sum(pair.shape[1] for pair in known) / sum(pair.shape[1] for pair in clips)
    mine, theirs = moved.T
    return quotient(mine, theirs, judged)


def quotient(sums: np.ndarray, counts: np.ndarray, judged: float) -> Score:
    """A score that is a sum over a count, from both of every clip."""
    low, high = interval(sums, counts)
    means = sums / counts
    return Score(float(sums.sum() / counts.sum()), float(means.mean()), low, high, float(judged))


def interval(sums: np.ndarray, counts: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """95 % interval of sum/count when clips are drawn again with replacement.

    Clips, not frames: the frames of a clip are alike. Percentiles of 1000 draws; None for fewer
    than five clips.
    """
    if len(sums) < MIN_CLIPS:
        return None, None
    chance = np.full(len(sums), 1 / len(sums))
    drawn = np.random.default_rng(0).multinomial(len(sums), chance, size=DRAWS)
    means = (drawn @ sums) / (drawn @ counts)
    tail = (1 - COVERAGE) / 2
    return float(np.quantile(means, tail)), float(np.quantile(means, 1 - tail))

"""Means over frames and clips, and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from talkhead.evaluation.statistics import interval, summarise


def test_mean_over_frames_weighs_long_clips_more() -> None:
    score = summarise({"long": np.array([1.0, 1.0, 1.0]), "short": np.array([5.0, np.nan])})
    assert score.frame_mean == 2
    assert score.clip_mean == 3
    assert score.judged == pytest.approx(4 / 5)
    assert score.low is None  # two clips say nothing about others


def test_interval_by_bootstrap_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    low, high = interval(values, np.ones(400))
    assert low is not None
    assert high is not None
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_frames_of_one_clip_are_not_taken_for_independent() -> None:
    rng = np.random.default_rng(0)
    levels = rng.normal(0, 1, 20)
    sums, counts = levels * 100, np.full(20, 100.0)
    low, high = interval(sums, counts)
    assert low is not None
    assert high is not None
    assert high - low > 2 * 1.96 * levels.std() / np.sqrt(2000) * 5

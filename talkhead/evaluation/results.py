"""The table of an evaluation: a row per method, made of the scores of its cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from talkhead.evaluation.case_files import CaseScores
from talkhead.evaluation.methods import Method
from talkhead.evaluation.metrics.following import DISTANCE, SLOPES, LandmarkComparison, slope_score
from talkhead.evaluation.metrics.perceptual import frechet_distance
from talkhead.evaluation.metrics.registry import FID, METRICS, WITHOUT_FRAMES
from talkhead.evaluation.protocols import EvaluationSet
from talkhead.evaluation.published import PublishedRow
from talkhead.evaluation.statistics import Score, ratio, summarise


@dataclass(frozen=True)
class Row:
    """One method's line in the table, with all it is made of.

    gains:    by metric, the difference from doing nothing; ratios: the share of its error that
              is left, for metrics where lower is better. pictures: by case, its strip.
    followed: by case, what landmarks of the results say.
    """

    name: str
    key: str
    about: str
    scores: dict[str, Score]
    cases: tuple[CaseScores, ...]
    gains: dict[str, Score] = field(default_factory=dict)
    ratios: dict[str, Score] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    followed: dict[str, LandmarkComparison] = field(default_factory=dict)

    @property
    def scored(self) -> list[CaseScores]:
        """Cases that could be drawn."""
        return [case for case in self.cases if case.error is None]

    @property
    def frames(self) -> int:
        """That were scored."""
        return sum(len(case.frames) for case in self.cases)


@dataclass(frozen=True)
class Evaluation:
    """All that a report is written from.

    metrics:      names, in order; skipped: why others were not computed.
    description:  facts about the run for whoever reads the table.
    published:    rows of papers to stand beside.
    """

    evaluation_set: EvaluationSet
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    description: dict[str, Any]
    skipped: dict[str, str]
    published: tuple[PublishedRow, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Metrics of the table: those computed here and those that published rows have."""
        given = {name for row in self.published for name in row.values}
        return tuple(name for name in METRICS if name in self.metrics or name in given)

    @property
    def frame_metrics(self) -> tuple[str, ...]:
        """Those with a value for every frame."""
        return tuple(name for name in self.metrics if name not in WITHOUT_FRAMES)

    @property
    def case_metrics(self) -> tuple[str, ...]:
        """Those with a value for every case."""
        return tuple(name for name in self.metrics if name not in FID)

    def failed(self) -> dict[str, str]:
        """Cases that some method could not draw, and rows of the list that were left out."""
        found = {case.case: case.error for row in self.rows for case in row.cases if case.error}
        rows = (text.partition(": ") for text in self.evaluation_set.missing)
        return {**found, **{f"list, {line}": why for line, _, why in rows}}

    def short(self) -> dict[str, str]:
        """Cases that were scored as far as their clip could be read."""
        return {case.case: case.remark for case in self.rows[0].cases if case.remark}


def fid_scores(features: dict[str, np.ndarray], metrics: Sequence[str]) -> dict[str, Score]:
    """FID of a whole set. It is no mean, so it has no interval and no value per clip."""
    others = {"fid": "driving", "fid_published_codebook": "source"}
    return {
        name: Score(frechet_distance(features["results"], features[others[name]]))
        for name in FID
        if name in metrics
    }


def add_motion(
    row: Row,
    evaluation_set: EvaluationSet,
    followed: dict[str, LandmarkComparison],
    metrics: Sequence[str],
) -> Row:
    """What landmarks of the results say, in frames, cases and the whole row."""
    clips: dict[str, list[LandmarkComparison]] = {}
    cases = []
    for scores in row.cases:
        distance: tuple[float | None, ...] = (None,) * len(scores.frames)
        slopes: dict[str, float | None] = dict.fromkeys(SLOPES)
        found = followed.get(scores.case)
        if found is not None:
            clips.setdefault(scores.clip, []).append(found)
            distance = tuple(float(d) if np.isfinite(d) else None for d in found.distance)
            slopes = {part: found.slope(part) for part in SLOPES}
        values = scores.values | {DISTANCE: distance}
        cases.append(replace(scores, values=values, slopes=slopes))
    apt = all(case.truth for case in evaluation_set.cases) and DISTANCE in metrics
    row = make_row(row, cases, (*row.scores, *([DISTANCE] if apt else [])))
    kept = {
        part: slope_score(list(clips.values()), part, row.frames)
        for part in SLOPES
        if part in metrics
    }
    return replace(row, scores=row.scores | kept, followed=followed)


def add_gains(rows: Sequence[Row]) -> list[Row]:
    """Compare every method with the last one, which does nothing, on the frames of both."""
    base = rows[-1]
    metrics = [name for name in base.scores if name not in WITHOUT_FRAMES]
    common = {case.case: case for case in base.scored}
    done = []
    for row in rows[:-1]:
        pairs = [(case, common[case.case]) for case in row.scored if case.case in common]
        gains, ratios = {}, {}
        for metric in metrics:
            clips: dict[str, list[np.ndarray]] = {}
            for mine, theirs in pairs:
                both = np.stack([mine.array(metric), theirs.array(metric)])
                clips.setdefault(mine.clip, []).append(both)
            together = {name: np.concatenate(parts, axis=1) for name, parts in clips.items()}
            gains[metric] = summarise({name: a - b for name, (a, b) in together.items()})
            if METRICS[metric].better == "lower":
                ratios[metric] = ratio(list(together.values()))
        done.append(replace(row, gains=gains, ratios=ratios))
    return [*done, base]


def make_row(method: Method | Row, cases: Sequence[CaseScores], metrics: Sequence[str]) -> Row:
    """Summaries of one method's values; cases of one clip are taken together."""
    scores = {}
    for metric in metrics:
        clips: dict[str, list[np.ndarray]] = {}
        for case in cases:
            if case.error is None:
                clips.setdefault(case.clip, []).append(case.array(metric))
        scores[metric] = summarise({name: np.concatenate(v) for name, v in clips.items()})
    return Row(method.name, method.key, method.about, scores, tuple(cases))

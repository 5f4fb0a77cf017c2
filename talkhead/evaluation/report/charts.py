"""The plots of the report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from talkhead.evaluation.metrics.following import DISTANCE, SLOPES
from talkhead.evaluation.metrics.registry import METRICS
from talkhead.evaluation.report.sections import heading
from talkhead.evaluation.report.svg import Curve, Dot, dot_plot, legend, line_plot
from talkhead.evaluation.results import Evaluation, Row
from talkhead.evaluation.statistics import Score

MAX_CLIPS = 60  # in the plot of clips; of more, every Nth is shown
OPENINGS = {"mouth_opening": "Mouth opening", "eye_opening": "Eye opening", "gaze": "Gaze"}


def score_plots(evaluation: Evaluation) -> list[str]:
    """All plots as HTML."""
    rows, names = evaluation.rows, [row.name for row in evaluation.rows]
    parts = ["<h2>Plots</h2>", f"<p>{legend(names)}</p>", "<div class=grid>"]
    for metric in evaluation.case_metrics:
        dots = [
            [_dot(row.scores[metric]) if row is other else None for other in rows] for row in rows
        ]
        plot = dot_plot(names, dots, f"{METRICS[metric].title} of each method")
        parts.append(f"<div><h3>{escape(heading(METRICS[metric]))}</h3>{plot}</div>")
    parts.append("</div>")
    shown = [*evaluation.frame_metrics[:1], *({DISTANCE} & set(evaluation.frame_metrics))]
    for metric in dict.fromkeys(shown):
        parts += _case_plots(evaluation, metric)
    return parts + _opening_plots(evaluation)


def _dot(score: Score) -> Dot | None:
    return None if score.frame_mean is None else (score.frame_mean, score.low, score.high)


def ranking(row: Row, metric: str) -> list[str]:
    """Cases from worst to best."""
    means = {case.case: case.mean(metric) for case in row.scored}
    known = {name: mean for name, mean in means.items() if mean is not None}
    return sorted(known, key=lambda n: known[n], reverse=METRICS[metric].better == "lower")


def _case_plots(evaluation: Evaluation, metric: str) -> list[str]:
    """A metric for each case, and along the worst."""
    rows, title = evaluation.rows, METRICS[metric].title
    ranked = ranking(rows[0], metric)
    if not ranked:
        return []
    step = -(-len(ranked) // MAX_CLIPS)
    shown, worst = ranked[::step], ranked[0]
    found = [{case.case: case for case in row.scored} for row in rows]
    means = [
        [each[name].mean(metric) if name in each else None for each in found] for name in shown
    ]
    dots = [[None if m is None else (m, None, None) for m in line] for line in means]
    curves = [
        _curve(each[worst].frames, each[worst].array(metric)) if worst in each else []
        for each in found
    ]
    every = f" (every {step}th of {len(ranked)})" if step > 1 else ""
    name = title[0].upper() + title[1:]
    return _side_by_side(
        f"<h3>{escape(name)} of each case, worst first{every}</h3>"
        + dot_plot(shown, dots, f"{title} of each case"),
        f"<h3>{escape(name)} along the worst: {escape(worst)}</h3>"
        + line_plot(curves, f"{title} by frame number"),
    )


def _side_by_side(*plots: str) -> list[str]:
    return ["<div class=grid>", *(f"<div>{plot}</div>" for plot in plots), "</div>"]


def _curve(frames: Sequence[int], values: np.ndarray) -> Curve:
    return [(n, float(v)) for n, v in zip(frames, values, strict=True) if np.isfinite(v)]


def _opening_plots(evaluation: Evaluation) -> list[str]:
    """Mouth and eyes of the driver and of the results, where the driver's move most."""
    rows = [row for row in evaluation.rows[:-1] if row.followed]
    if not rows:
        return []
    frames = {case.case: case.frames for case in rows[0].scored}
    parts = []
    for part in SLOPES:
        moving = {name: found.moments(part)[1] for name, found in rows[0].followed.items()}
        name = max(moving, key=lambda name: moving[name])
        if not moving[name]:
            continue
        curves = [
            _curve(frames[name], row.followed[name].openings[part][1])
            for row in rows
            if name in row.followed
        ]
        driver = _curve(frames[name], rows[0].followed[name].openings[part][0])
        names = [*(row.name for row in rows if name in row.followed), "the driver"]
        parts.append(
            f"<h3>{OPENINGS[part]} where it moves most: {escape(name)}</h3><p>{legend(names)}</p>"
            + line_plot([*curves, driver], f"{OPENINGS[part]} by frame number")
        )
    return _side_by_side(*parts)

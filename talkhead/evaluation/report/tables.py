"""The report as Markdown, JSON and CSV tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from talkhead.evaluation.metrics.networks import NETWORKS, ready
from talkhead.evaluation.metrics.registry import METRICS, Metric
from talkhead.evaluation.results import Evaluation, Row
from talkhead.evaluation.statistics import Score
from talkhead.printable import csv_text, markdown_text

NO_PUBLISHED_ROWS = (
    "No paper's rows stand beside these: published numbers hold for one test set, protocol and "
    "definition each. `--published FILE.csv` puts rows here, marked as published."
)
PUBLISHED_ROWS = (
    "Rows marked as published are numbers copied from papers, not computed here. They compare only "
    "where test set, protocol and definition are the same."
)
MAX_CASES = 40  # in the tables of each case
RATIO_DIGITS = 3
ARROWS = {"lower": "↓", "higher": "↑", "one": "→ 1"}


def heading(metric: Metric) -> str:
    """Title with an arrow that says which way is better."""
    return f"{metric.title} {ARROWS[metric.better]}"


def number(value: float | None, digits: int) -> str:
    """A value for people; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def cell(score: Score, digits: int) -> str:
    """The frame mean, its interval, and the share of frames where not all could be measured."""
    text = number(score.frame_mean, digits)
    if score.low is not None:
        text += f" [{number(score.low, digits)}, {number(score.high, digits)}]"
    if score.frame_mean is not None and score.judged < 1:
        text += f" ({100 * score.judged:.1f} % judged)"
    return text


def grid(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; each row begins with a name."""
    named = [[markdown_text(name), *cells] for name, *cells in rows]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *named]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def score_table(evaluation: Evaluation) -> str:
    """Means over frames, as published, one row per method; published rows above."""
    metrics = [METRICS[name] for name in evaluation.columns]
    rows = [
        [
            f"{row.name} (published)",
            *(number(row.values.get(m.name), m.digits) for m in metrics),
        ]
        for row in evaluation.published
    ]
    nothing = Score(None)
    rows += [
        [
            row.name,
            *(cell(row.scores.get(m.name, nothing), m.digits) for m in metrics),
        ]
        for row in evaluation.rows
    ]
    return grid(["", *map(heading, metrics)], rows)


def clip_table(evaluation: Evaluation) -> str:
    """Means over the means of clips."""
    metrics = [METRICS[name] for name in evaluation.metrics]
    rows = [
        [
            row.name,
            *(number(row.scores[m.name].clip_mean, m.digits) for m in metrics),
        ]
        for row in evaluation.rows
    ]
    return grid(["", *map(heading, metrics)], rows)


def gain_table(evaluation: Evaluation) -> str:
    """Differences from doing nothing, on the frames that were measured for both."""
    metrics = [METRICS[name] for name in evaluation.frame_metrics]
    rows = [
        [row.name, *(gain_cell(row.gains[m.name], m) for m in metrics)]
        for row in evaluation.rows[:-1]
    ]
    return grid(["", *map(heading, metrics)], rows)


def gain_cell(gain: Score, metric: Metric) -> str:
    """A signed difference, its interval, and whether that is clearly better or worse."""
    if gain.frame_mean is None:
        return "-"
    text = f"{gain.frame_mean:+.{metric.digits}f}"
    if gain.low is None or gain.high is None:
        return text
    text += f" [{gain.low:+.{metric.digits}f}, {gain.high:+.{metric.digits}f}]"
    if gain.low <= 0 <= gain.high:
        return text
    better = (gain.frame_mean > 0) == (metric.better == "higher")
    return f"{text} {'better' if better else 'worse'}"


def ratio_table(evaluation: Evaluation) -> str:
    """What is left of doing nothing's error."""
    metrics = [METRICS[name] for name in evaluation.frame_metrics]
    lower = [metric for metric in metrics if metric.better == "lower"]
    rows = [
        [row.name, *(cell(row.ratios[m.name], RATIO_DIGITS) for m in lower)]
        for row in evaluation.rows[:-1]
    ]
    return grid(["", *(metric.title for metric in lower)], rows)


def case_table(row: Row, base: Row, metrics: Sequence[Metric]) -> str:
    """One method's means of each case, with the ratio to `base`'s where lower is better."""
    nothing = {case.case: case for case in base.scored}
    lines = []
    for case in row.scored:
        line = [case.case, str(len(case.frames))]
        for metric in metrics:
            mean = case.mean(metric.name)
            text = number(mean, metric.digits)
            other = nothing[case.case].mean(metric.name) if case.case in nothing else None
            if mean is not None and other and metric.better == "lower":
                text += f" ({mean / other:.{RATIO_DIGITS}f})"
            line.append(text)
        lines.append(line)
    return grid(["", "frames", *map(heading, metrics)], lines)


def definition_table(names: Sequence[str]) -> str:
    """What each metric is."""
    rows = [
        [
            heading(metric),
            f"`{metric.name}`",
            metric.definition,
            metric.values,
            metric.library,
            f"{NETWORKS[metric.network].title}; {NETWORKS[metric.network].licence}"
            if metric.network
            else "none",
        ]
        for metric in (METRICS[name] for name in names)
    ]
    head = [
        *("metric", "name", "definition", "picture values", "computed by"),
        "network weights; licence",
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def metric_list() -> str:
    """Every metric with its definition, and what hinders those that cannot be computed here."""
    networks = {name: ready(name) for name in NETWORKS}
    lines = [
        f"- {metric.title} (`{metric.name}`): {networks[metric.network]}"
        for metric in METRICS.values()
        if metric.network and networks[metric.network]
    ]
    text = definition_table(tuple(METRICS))
    return f"{text}\n\nNot on this machine:\n\n" + "\n".join(lines) if lines else text


def markdown(evaluation: Evaluation) -> str:
    """The whole report as text."""
    facts = _list(evaluation.description)
    first = evaluation.rows[0]
    parts = [
        f"# Evaluation: {evaluation.evaluation_set.protocol}",
        facts,
        f"{len(first.scored)} of {len(first.cases)} cases scored, {first.frames} frames.",
        "## Means over frames",
        "As published: every frame counts the same. In brackets the 95 % interval when the clips "
        "are drawn again (bootstrap over clips).",
        score_table(evaluation),
        *published_notes(evaluation),
        "## Means over clips",
        clip_table(evaluation),
        "## Against doing nothing",
        "Differences of the means over the frames that were judged for both, with their 95 % "
        "interval; better or worse where that does not contain 0.",
        gain_table(evaluation),
        "What is left of doing nothing's error: the mean over the same frames divided by its mean.",
        ratio_table(evaluation),
        *case_tables(evaluation),
        "## Contenders",
        _list({f"{row.name} ({row.key})": row.about for row in evaluation.rows}),
    ]
    if failed := evaluation.failed():
        parts += ["## Left out", _list(failed)]
    if short := evaluation.short():
        parts += ["## Scored in part", _list(short)]
    if evaluation.skipped:
        skipped = {METRICS[name].title: why for name, why in evaluation.skipped.items()}
        parts += ["## Not computed", _list(skipped)]
    parts += ["## Definitions", definition_table(evaluation.columns)]
    return "\n\n".join(parts) + "\n"


def _list(entries: Mapping[str, Any]) -> str:
    return "\n".join(
        f"- {markdown_text(name)}: {markdown_text(str(text))}" for name, text in entries.items()
    )


def published_notes(evaluation: Evaluation) -> list[str]:
    """Where published rows come from, or that there are none."""
    if not evaluation.published:
        return [NO_PUBLISHED_ROWS]
    return [
        PUBLISHED_ROWS,
        _list({f"{row.name} (published)": row.source for row in evaluation.published}),
    ]


def case_tables(evaluation: Evaluation) -> list[str]:
    """A table of cases for every method, unless there are too many to read."""
    base = evaluation.rows[-1]
    if len(base.cases) > MAX_CASES:
        return [f"Scores of the {len(base.cases)} cases are in clips.csv."]
    metrics = [METRICS[name] for name in evaluation.case_metrics]
    parts = ["## Each case", "In brackets what is left of doing nothing's error."]
    for row in evaluation.rows[:-1]:
        parts += [f"### {markdown_text(row.name)}", case_table(row, base, metrics)]
    return parts


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the values per frame."""
    return {
        "run": evaluation.description,
        "published": [asdict(row) for row in evaluation.published],
        "contenders": [_row_json(row) for row in evaluation.rows],
        "metrics": {name: asdict(METRICS[name]) for name in evaluation.metrics},
        "not_computed": evaluation.skipped,
        "left_out": evaluation.failed(),
        "scored_in_part": evaluation.short(),
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "key": row.key,
        "about": row.about,
        "cases": len(row.scored),
        "frames": row.frames,
        "scores": {name: asdict(score) for name, score in row.scores.items()},
        "against_doing_nothing": {name: asdict(gain) for name, gain in row.gains.items()},
        "share_of_doing_nothing": {name: asdict(score) for name, score in row.ratios.items()},
    }


def tables(evaluation: Evaluation) -> dict[str, str]:
    """By file: report.md, scores.json, frames.csv (a line per frame), clips.csv (per case)."""
    frame_metrics, case_metrics = evaluation.frame_metrics, evaluation.case_metrics
    scored = [(row, case) for row in evaluation.rows for case in row.scored]
    names = [[csv_text(text) for text in (row.name, case.case, case.clip)] for row, case in scored]
    frames = [
        [*name, frame, *(case.values[metric][i] for metric in frame_metrics)]
        for name, (_, case) in zip(names, scored, strict=True)
        for i, frame in enumerate(case.frames)
    ]
    clips = [
        [*name, len(case.frames), *(case.mean(metric) for metric in case_metrics)]
        for name, (_, case) in zip(names, scored, strict=True)
    ]
    return {
        "report.md": markdown(evaluation),
        "scores.json": json.dumps(as_json(evaluation), indent=1) + "\n",
        "frames.csv": _csv(["contender", "case", "clip", "frame", *frame_metrics], frames),
        "clips.csv": _csv(["contender", "case", "clip", "frames", *case_metrics], clips),
    }


def _csv(head: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([head, *rows])
    return text.getvalue()

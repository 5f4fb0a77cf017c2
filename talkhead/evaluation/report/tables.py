"""The report as Markdown, JSON and CSV tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from talkhead.evaluation.metrics.networks import NETWORKS, ready
from talkhead.evaluation.metrics.registry import METRICS
from talkhead.evaluation.report.sections import Grid, definition_grid, sections
from talkhead.evaluation.results import Evaluation, Row
from talkhead.printable import csv_text, markdown_text


def markdown(evaluation: Evaluation) -> str:
    """The whole report as text."""
    texts = []
    for mark, section in zip(["#", *["##"] * 1000], sections(evaluation), strict=False):
        texts.append(f"{mark} {markdown_text(section.title)}")
        texts += map(_markdown, section.parts)
    return "\n\n".join(texts) + "\n"


def _markdown(part: str | Grid | Mapping[str, object]) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Grid):
        return grid_text(part)
    return "\n".join(f"- {markdown_text(k)}: {markdown_text(str(v))}" for k, v in part.items())


def grid_text(grid: Grid) -> str:
    """A Markdown table."""
    named = [[markdown_text(name), *cells] for name, *cells in grid.rows]
    rule = ["---"] + ["---" if grid.text else "---:"] * (len(grid.head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [grid.head, rule, *named])


def metric_list() -> str:
    """Every metric with its definition, and what hinders those that cannot be computed here."""
    networks = {name: ready(name) for name in NETWORKS}
    lines = [
        f"- {metric.title} (`{metric.name}`): {networks[metric.network]}"
        for metric in METRICS.values()
        if metric.network and networks[metric.network]
    ]
    text = grid_text(definition_grid(tuple(METRICS)))
    return f"{text}\n\nNot on this machine:\n\n" + "\n".join(lines) if lines else text


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

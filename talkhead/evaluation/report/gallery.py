"""The images of the report: worst and best cases."""

from __future__ import annotations

from html import escape

from talkhead.evaluation.metrics.registry import METRICS
from talkhead.evaluation.report.charts import ranking
from talkhead.evaluation.report.sections import number
from talkhead.evaluation.results import Evaluation, Row
from talkhead.io.page import picture

SHOWN = 3  # worst and best cases, each


def gallery(evaluation: Evaluation) -> list[str]:
    """HTML of the strips, by the first metric that has a value for every frame."""
    if not evaluation.frame_metrics:
        return []
    metric = evaluation.frame_metrics[0]
    first = evaluation.rows[0]
    ranked = ranking(first, metric)
    worst, best = ranked[:SHOWN], ranked[SHOWN:][-SHOWN:][::-1]
    truth = all(case.truth for case in evaluation.evaluation_set.cases)
    heads = ["source", "driving", "result", *(["three times the difference"] if truth else [])]
    titles = "".join(f"<span>{head}</span>" for head in heads)
    parts = [
        "<h2>Pictures</h2>",
        f"<p class=note>The cases where {escape(first.name)} is worst and best by "
        f"{METRICS[metric].title}; the frame of each whose driver has moved furthest.</p>",
    ]
    for label, names in (("Worst", worst), ("Best", best)):
        for name in names:
            parts += [f"<h3>{label}: {escape(name)}</h3>", f"<div class=heads>{titles}</div>"]
            parts += [
                _figure(row, name, metric) for row in evaluation.rows[:-1] if name in row.pictures
            ]
    return parts


def _figure(row: Row, case: str, metric: str) -> str:
    scores = next(scores for scores in row.scored if scores.case == case)
    place = scores.frames.index(scores.shown) if scores.shown in scores.frames else 0
    digits = METRICS[metric].digits
    text = (
        f"{row.name}, frame {scores.shown}: {METRICS[metric].title} "
        f"{number(scores.values[metric][place], digits)}; "
        f"{number(scores.mean(metric), digits)} on average of the case"
    )
    file = row.pictures[case]
    shown = picture(file.read_bytes(), file.stem)
    return f"<figure>{shown}<figcaption>{escape(text)}</figcaption></figure>"

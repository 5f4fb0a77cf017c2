"""One HTML file with tables, plots and pictures inside: it opens anywhere, without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from talkhead.evaluation.evaluate import Evaluation, Row
from talkhead.evaluation.metrics import METRICS
from talkhead.evaluation.networks import NETWORKS
from talkhead.evaluation.plots import Dot, dot_plot, legend, line_plot
from talkhead.evaluation.summary import Score
from talkhead.evaluation.tables import NO_PUBLISHED_ROWS, cell, gain_cell, heading, number

MAX_CLIPS = 60  # in the plot of clips; of more, every so many-th is shown
SHOWN = 3  # worst and best cases with pictures, each

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 960px;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; font-size: 13px; } .wide { overflow-x: auto; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right;
  vertical-align: top; }
th:first-child, td:first-child, table.text td, table.text th { text-align: left; }
td small { color: #666; display: block; white-space: nowrap; font-weight: 400; }
td.best { font-weight: 600; } .grid { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2rem; }
svg { width: 100%; max-width: 640px; font: 14px system-ui, sans-serif; display: block; }
img { width: 100%; max-width: 860px; display: block; image-rendering: auto; }
.key { margin-right: 1rem; } .key i { display: inline-block; width: .8em; height: .8em;
  border-radius: 50%; margin-right: .35em; }
p.note, figcaption { color: #555; font-size: 13px; } figure { margin: .6rem 0 1.2rem; }
"""


def html_report(evaluation: Evaluation) -> str:
    """The report as the text of an HTML file."""
    title = f"Evaluation: {evaluation.trials.protocol}"
    first = evaluation.rows[0]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(str(evaluation.description['protocol_is']))}.</p>",
        f"<p>{len(first.scored)} of {len(first.cases)} cases scored, {first.frames} frames.</p>",
        _facts(evaluation),
        "<h2>Scores</h2>",
        _score_table(evaluation),
        "<p class=note>Means over frames, as published, in bold the best; below them the 95 % "
        "interval when the clips are drawn again, and the difference from doing nothing on the "
        "frames that were judged for both. Means over clips are in report.md.</p>",
        f"<p class=note>{NO_PUBLISHED_ROWS}</p>",
        *_plots(evaluation),
        *_pictures(evaluation),
        *_left_out(evaluation),
        "<h2>Definitions</h2>",
        _definitions(evaluation.metrics),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f'</title><meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def _facts(evaluation: Evaluation) -> str:
    facts = {k: v for k, v in evaluation.description.items() if not k.startswith("protocol")}
    about = {row.name: f"{row.about} ({row.key})" for row in evaluation.rows}
    rows = [[escape(str(k)), escape(str(v))] for k, v in (facts | about).items()]
    return _table(["", ""], rows, "text")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML; one that begins with <td is taken whole."""
    top = "".join(f"<th>{text}</th>" for text in head)
    lines = [
        "".join(text if text.startswith("<td") else f"<td>{text}</td>" for text in row)
        for row in rows
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class=wide><table class="{kind}"><tr>{top}</tr>{body}</table></div>'


def _score_table(evaluation: Evaluation) -> str:
    """A line per metric, a column per contender: there are more metrics than fit side by side."""
    rows = []
    for name in evaluation.metrics:
        best = _best(evaluation.rows, name)
        cells = [escape(heading(METRICS[name]))]
        for row in evaluation.rows:
            value, _, rest = cell(row.scores[name], METRICS[name].digits).partition(" ")
            gain = ""
            if name in row.gains:
                gain = f"to doing nothing: {gain_cell(row.gains[name], METRICS[name])}"
            shade = " class=best" if row.scores[name].frame_mean == best else ""
            notes = "".join(f"<small>{escape(note)}</small>" for note in (rest, gain) if note)
            cells.append(f"<td{shade}>{value}{notes}</td>")
        rows.append(cells)
    return _table(["", *(escape(row.name) for row in evaluation.rows)], rows)


def _best(rows: Sequence[Row], metric: str) -> float | None:
    values = [row.scores[metric].frame_mean for row in rows]
    known = [value for value in values if value is not None]
    better = METRICS[metric].better
    if better == "one":
        return min(known, key=lambda value: abs(1 - value), default=None)
    return (max if better == "higher" else min)(known, default=None)


def _dot(score: Score) -> Dot | None:
    return None if score.frame_mean is None else (score.frame_mean, score.low, score.high)


def _plots(evaluation: Evaluation) -> list[str]:
    rows, names = evaluation.rows, [row.name for row in evaluation.rows]
    parts = ["<h2>Plots</h2>", f"<p>{legend(names)}</p>", "<div class=grid>"]
    for metric in evaluation.frame_metrics:
        dots = [
            [_dot(row.scores[metric]) if row is other else None for other in rows] for row in rows
        ]
        plot = dot_plot(names, dots, f"{METRICS[metric].title} of each contender")
        parts.append(f"<div><h3>{escape(heading(METRICS[metric]))}</h3>{plot}</div>")
    parts.append("</div>")
    if evaluation.frame_metrics:
        parts += _clip_plots(evaluation, evaluation.frame_metrics[0])
    return parts


def _clip_plots(evaluation: Evaluation, metric: str) -> list[str]:
    """The ranking metric for each case, and along the worst."""
    rows, title = evaluation.rows, METRICS[metric].title
    ranked = ranking(rows[0], metric)
    if not ranked:
        return []
    step = -(-len(ranked) // MAX_CLIPS)
    shown = ranked[::step]
    found = [{case.case: case for case in row.scored} for row in rows]
    means = [
        [each[name].mean(metric) if name in each else None for each in found] for name in shown
    ]
    dots = [[None if m is None else (m, None, None) for m in line] for line in means]
    curves = [
        [
            (frame, float(value))
            for frame, value in zip(
                each[ranked[0]].frames, each[ranked[0]].array(metric), strict=True
            )
            if value == value
        ]
        if ranked[0] in each
        else []
        for each in found
    ]
    every = f" (every {step}th of {len(ranked)})" if step > 1 else ""
    return [
        f"<h3>{escape(title)} of each case, worst first{every}</h3>",
        dot_plot(shown, dots, f"{title} of each case"),
        f"<h3>{escape(title)} along the worst: {escape(ranked[0])}</h3>",
        line_plot(curves, f"{title} by frame number"),
    ]


def ranking(row: Row, metric: str) -> list[str]:
    """Cases from worst to best."""
    means = {case.case: case.mean(metric) for case in row.scored}
    known = {name: mean for name, mean in means.items() if mean is not None}
    return sorted(known, key=lambda n: known[n], reverse=METRICS[metric].better == "lower")


def _pictures(evaluation: Evaluation) -> list[str]:
    """Strips of the first contender's worst and best cases, with everybody's result."""
    if not evaluation.frame_metrics:
        return []
    metric = evaluation.frame_metrics[0]
    first = evaluation.rows[0]
    ranked = ranking(first, metric)
    worst, best = ranked[:SHOWN], ranked[SHOWN:][-SHOWN:][::-1]
    truth = all(case.truth for case in evaluation.trials.cases)
    cells = "source, driving, result" + (", three times the difference" if truth else "")
    which = "differs most from the driving frame" if truth else "moved furthest"
    parts = [
        "<h2>Pictures</h2>",
        f"<p class=note>From the left: {cells}. The frame of each case that {which}.</p>",
    ]
    for label, names in (("Worst", worst), ("Best", best)):
        for name in names:
            parts.append(f"<h3>{label} for {escape(first.name)}: {escape(name)}</h3>")
            parts += [
                _figure(row, name, metric) for row in evaluation.rows[:-1] if name in row.pictures
            ]
    return parts


def _figure(row: Row, case: str, metric: str) -> str:
    mean = next(scores.mean(metric) for scores in row.scored if scores.case == case)
    text = f"{row.name}: {METRICS[metric].title} {number(mean, METRICS[metric].digits)} on average"
    return f"<figure>{_image(row.pictures[case])}<figcaption>{escape(text)}</figcaption></figure>"


def _image(file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{escape(file.stem)}" src="data:image/jpeg;base64,{data}">'


def _left_out(evaluation: Evaluation) -> list[str]:
    parts = []
    if failed := evaluation.failed():
        rows = [[escape(name), escape(str(why))] for name, why in failed.items()]
        parts += ["<h2>Left out</h2>", _table(["case", "why"], rows, "text")]
    if evaluation.skipped:
        rows = [[METRICS[n].title, escape(why)] for n, why in evaluation.skipped.items()]
        parts += ["<h2>Not computed</h2>", _table(["metric", "what is missing"], rows, "text")]
    return parts


def _definitions(names: Sequence[str]) -> str:
    rows = []
    for metric in (METRICS[name] for name in names):
        network = NETWORKS[metric.network].title if metric.network else "none"
        cells = [heading(metric), metric.name, metric.definition, metric.library, network]
        rows.append([escape(text) for text in cells])
    return _table(["metric", "name", "definition", "computed by", "network"], rows, "text")

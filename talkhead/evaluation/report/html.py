"""The report as one HTML file, images and plots included."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from talkhead.errors import TalkheadError
from talkhead.evaluation.metrics.networks import NETWORKS
from talkhead.evaluation.metrics.registry import METRICS, Metric
from talkhead.evaluation.report.charts import MAX_CLIPS, ranking, score_plots
from talkhead.evaluation.report.gallery import gallery
from talkhead.evaluation.report.tables import (
    NO_PUBLISHED_ROWS,
    PUBLISHED_ROWS,
    RATIO_DIGITS,
    gain_cell,
    heading,
    number,
    tables,
)
from talkhead.evaluation.results import Evaluation, Row
from talkhead.evaluation.statistics import Score
from talkhead.io.atomic import check_file, write_text

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 1200px;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .4rem; } h2 { font-size: 1.25rem; margin-top: 2.6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
table { border-collapse: collapse; font-size: 13px; } .wide { overflow-x: auto; }
th, td { padding: .35rem .55rem; border-bottom: 1px solid #ddd; text-align: right;
  vertical-align: top; white-space: nowrap; }
th { border-bottom: 2px solid #999; vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child { text-align: left; }
table.text th, table.text td { text-align: left; white-space: normal; }
td small { color: #666; display: block; } td small.better { color: #00704f; }
td small.worse { color: #b3261e; } td.best { font-weight: 600; } td.best small { font-weight: 400; }
td.published { font-style: italic; color: #555; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 0 2rem; }
svg { width: 100%; max-width: 640px; font: 14px system-ui, sans-serif; display: block; }
img { width: 100%; max-width: 1024px; display: block; }
.heads { display: flex; max-width: 1024px; font-size: 13px; color: #555; }
.heads span { flex: 1; text-align: center; }
.key { margin-right: 1rem; white-space: nowrap; } .key i { display: inline-block; width: .8em;
  height: .8em; border-radius: 50%; margin-right: .35em; }
p.note, figcaption { color: #555; font-size: 13px; } figure { margin: 0 0 .8rem; }
summary { cursor: pointer; font-weight: 600; margin: .8rem 0; }
"""


REPORTS = ("report.html", "report.md", "scores.json", "frames.csv", "clips.csv")


def check_reports(folder: Path, inputs: Sequence[Path], overwrite: bool) -> None:
    """Raise TalkheadError where reports would replace others unasked, or what is read."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise TalkheadError(f"{folder} is a file; reports are written into a folder")
    for name in REPORTS:
        check_file(folder / name, inputs, overwrite)


def write_report(evaluation: Evaluation, folder: Path, overwrite: bool = False) -> None:
    """Write `REPORTS`, each whole or not at all.

    Raises TalkheadError for errors of the disk and, without `overwrite`, for a file that exists.
    """
    texts = {"report.html": html_report(evaluation), **tables(evaluation)}
    try:
        for name in REPORTS:
            write_text(folder / name, texts[name], overwrite)
    except OSError as error:
        raise TalkheadError(
            f"the reports cannot be written into {folder} ({error.strerror}); make room and run "
            "the same command again with --overwrite: scores are kept"
        ) from error


def html_report(evaluation: Evaluation) -> str:
    """The report as the text of an HTML file."""
    title = f"Evaluation: {evaluation.evaluation_set.protocol}"
    first = evaluation.rows[0]
    protocol = str(evaluation.description["protocol_is"])
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(protocol[0].upper() + protocol[1:])}. {len(first.scored)} of "
        f"{len(first.cases)} cases scored, {first.frames} frames.</p>",
        "<h2>Scores</h2>",
        _score_table(evaluation),
        "<p class=note>Means over frames, as published (every frame counts the same), in bold the "
        "best. Below them the 95 % interval when the clips are drawn again (bootstrap), and what "
        "is left of doing nothing's error, or the difference from doing nothing, on the frames "
        "that were judged for both: green or red where its interval is clearly better or worse. "
        "Means over clips are in report.md.</p>",
        *_published(evaluation),
        *score_plots(evaluation),
        *_cases(evaluation),
        *gallery(evaluation),
        *_left_out(evaluation),
        "<h2>This run</h2>",
        _facts(evaluation),
        "<h2>Definitions</h2>",
        _definitions(evaluation.columns),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f'</title><meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


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
    """As in papers: a line per method, a column per metric."""
    metrics = [METRICS[name] for name in evaluation.columns]
    rows = []
    for published in evaluation.published:
        line = [f"<td class=published>{escape(published.name)} (published)</td>"]
        for metric in metrics:
            value = number(published.values.get(metric.name), metric.digits)
            line.append(f"<td class=published>{value}</td>")
        rows.append(line)
    for row in evaluation.rows:
        cells = [_score_cell(row, metric, _best(evaluation.rows, metric)) for metric in metrics]
        rows.append([escape(row.name), *cells])
    return _table(["", *(escape(heading(metric)) for metric in metrics)], rows)


def _score_cell(row: Row, metric: Metric, best: float | None) -> str:
    score = row.scores.get(metric.name, Score(None))
    notes = []
    if score.low is not None:
        low, high = (number(end, metric.digits) for end in (score.low, score.high))
        notes.append(f"<small>[{low}, {high}]</small>")
    if metric.name in row.gains:
        gain, ratio = row.gains[metric.name], row.ratios.get(metric.name)
        verdict = gain_cell(gain, metric).rpartition(" ")[2]
        shade = f" class={verdict}" if verdict in ("better", "worse") else ""
        if ratio is not None and ratio.frame_mean is not None:
            notes.append(f"<small{shade}>{number(ratio.frame_mean, RATIO_DIGITS)} left</small>")
        elif gain.frame_mean is not None:
            notes.append(f"<small{shade}>{gain.frame_mean:+.{metric.digits}f}</small>")
    if score.frame_mean is not None and score.judged < 1:
        notes.append(f"<small>{100 * score.judged:.1f} % judged</small>")
    kind = " class=best" if score.frame_mean is not None and score.frame_mean == best else ""
    return f"<td{kind}>{number(score.frame_mean, metric.digits)}{''.join(notes)}</td>"


def _best(rows: Sequence[Row], metric: Metric) -> float | None:
    known = [
        score.frame_mean
        for score in (row.scores.get(metric.name, Score(None)) for row in rows)
        if score.frame_mean is not None
    ]
    if metric.better == "one":
        return min(known, key=lambda value: abs(1 - value), default=None)
    return (max if metric.better == "higher" else min)(known, default=None)


def _published(evaluation: Evaluation) -> list[str]:
    if not evaluation.published:
        return [f"<p class=note>{NO_PUBLISHED_ROWS.replace('`', '')}</p>"]
    sources = "".join(
        f"<br>{escape(row.name)}: {escape(row.source)}" for row in evaluation.published
    )
    return [f"<p class=note>{PUBLISHED_ROWS}{sources}</p>"]


def _cases(evaluation: Evaluation) -> list[str]:
    """A folded table per method: every case, worst first, with what is left of the error."""
    if not evaluation.frame_metrics:
        return []
    base = {case.case: case for case in evaluation.rows[-1].scored}
    metrics = [METRICS[name] for name in evaluation.case_metrics]
    parts = ["<h2>Each case</h2>"]
    for row in evaluation.rows[:-1]:
        cases = {case.case: case for case in row.scored}
        lines = []
        for name in ranking(row, evaluation.frame_metrics[0]):
            line = [escape(name), str(len(cases[name].frames))]
            for metric in metrics:
                mean = cases[name].mean(metric.name)
                other = base[name].mean(metric.name) if name in base else None
                text = number(mean, metric.digits)
                if mean is not None and other and metric.better == "lower":
                    text += f"<small>{mean / other:.{RATIO_DIGITS}f} left</small>"
                line.append(text)
            lines.append(line)
        head = ["", "frames", *(escape(heading(metric)) for metric in metrics)]
        table = _table(head, lines)
        opened = " open" if len(lines) <= MAX_CLIPS else ""
        parts.append(f"<details{opened}><summary>{escape(row.name)}</summary>{table}</details>")
    return parts


def _left_out(evaluation: Evaluation) -> list[str]:
    parts = []
    if failed := evaluation.failed():
        rows = [[escape(name), escape(str(why))] for name, why in failed.items()]
        parts += ["<h2>Left out</h2>", _table(["case", "why"], rows, "text")]
    if short := evaluation.short():
        rows = [[escape(name), escape(why)] for name, why in short.items()]
        parts += ["<h2>Scored in part</h2>", _table(["case", "why"], rows, "text")]
    if evaluation.skipped:
        rows = [[METRICS[n].title, escape(why)] for n, why in evaluation.skipped.items()]
        parts += ["<h2>Not computed</h2>", _table(["metric", "what is missing"], rows, "text")]
    return parts


def _facts(evaluation: Evaluation) -> str:
    facts = {k: v for k, v in evaluation.description.items() if k != "protocol_is"}
    about = {row.name: f"{row.about} ({row.key})" for row in evaluation.rows}
    rows = [[escape(str(k).replace("_", " ")), escape(str(v))] for k, v in (facts | about).items()]
    return _table(["", ""], rows, "text")


def _definitions(names: Sequence[str]) -> str:
    rows = []
    for metric in (METRICS[name] for name in names):
        network = NETWORKS[metric.network].title if metric.network else "none"
        cells = [heading(metric), metric.name, metric.definition, metric.values]
        rows.append([escape(text) for text in (*cells, metric.library, network)])
    head = ["metric", "name", "definition", "picture values", "computed by", "network"]
    return _table(head, rows, "text")

"""The report as one HTML file, images and plots included."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from talkhead.errors import TalkheadError
from talkhead.evaluation.report.charts import score_plots
from talkhead.evaluation.report.gallery import gallery
from talkhead.evaluation.report.sections import Grid, sections
from talkhead.evaluation.report.tables import tables
from talkhead.evaluation.results import Evaluation
from talkhead.io.atomic import check_file, write_text
from talkhead.io.page import page, table

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
    """The report as the text of an HTML file; plots and pictures follow the scores."""
    overview, scores, *rest = sections(evaluation)
    parts = [f"<h1>{escape(overview.title)}</h1>", *map(_html, overview.parts)]
    parts += [f"<h2>{escape(scores.title)}</h2>", *map(_html, scores.parts)]
    parts += [*score_plots(evaluation), *gallery(evaluation)]
    for section in rest:
        parts += [f"<h2>{escape(section.title)}</h2>", *map(_html, section.parts)]
    return page(overview.title, parts)


def _html(part: str | Grid | Mapping[str, object]) -> str:
    if isinstance(part, str):
        return f"<p class=note>{_text(part)}</p>"
    if isinstance(part, Grid):
        rows = [
            [_cell(text, (i, j) in part.best) for j, text in enumerate(row)]
            for i, row in enumerate(part.rows)
        ]
        return table([_text(text) for text in part.head], rows, "text" if part.text else "")
    facts = [[_text(name.replace("_", " ")), _text(str(value))] for name, value in part.items()]
    return table(["", ""], facts, "text")


def _cell(text: str, is_best: bool) -> str:
    verdict = text.rpartition(" ")[2]
    kind = verdict if verdict in ("better", "worse") else "best" if is_best else ""
    return f'<td class="{kind}">{_text(text)}</td>'


def _text(text: str) -> str:
    """Plain text of the report as HTML, without Markdown's marks."""
    return escape(text.replace("`", ""))

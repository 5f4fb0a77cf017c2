"""Papers' rows beside one's own: read with care, shown as published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from talkhead.errors import TalkheadError
from talkhead.evaluation.protocols import EvaluationSet
from talkhead.evaluation.published import PublishedRow, read_published
from talkhead.evaluation.report.html import html_report
from talkhead.evaluation.report.sections import score_grid
from talkhead.evaluation.report.tables import as_json, grid_text
from talkhead.evaluation.results import Evaluation, Row
from talkhead.evaluation.statistics import Score

HEAD = "name,source,protocol,l1,akd_published\n"


def write(folder: Path, text: str) -> Path:
    (folder / "papers.csv").write_text(text)
    return folder / "papers.csv"


def test_rows_of_the_protocol_are_read_and_empty_cells_left_out(tmp_path: Path) -> None:
    text = f"{HEAD}A,a table,pairs,0.5,\nB,another table,reconstruction,0.25,1.5\n"
    rows = read_published(write(tmp_path, text), "pairs")
    assert rows == (PublishedRow("A", "a table", {"l1": 0.5}),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no rows"),
        (HEAD, "no rows"),
        ("name,protocol,l1\nA,pairs,1\n", "no column 'source'"),
        ("name,source,protocol,beauty\nA,t,pairs,1\n", "'beauty', which is no metric"),
        (f"{HEAD}A,t,pairs,much,\n", "line 2: l1 is 'much'"),
        (f"{HEAD}A,t,magic,1,\n", "line 2: no protocol 'magic'"),
        (f"{HEAD}A,,pairs,1,\n", "line 2: say in `source`"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(TalkheadError, match=complaint):
        read_published(write(tmp_path, text), "pairs")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TalkheadError, match="there is no file"):
        read_published(tmp_path / "lost.csv", "pairs")


def test_published_rows_stand_beside_and_are_marked_with_their_source() -> None:
    row = Row("mine", "mine", "here", {"l1": Score(0.125)}, ())
    nothing = replace(row, name="do nothing", scores={"l1": Score(0.5)})
    facts = {"protocol_is": "some"}
    published = (PublishedRow("Theirs", "Table 9 of a paper", {"l1": 0.0625, "akd": 1.0}),)
    found = Evaluation(EvaluationSet("pairs", ()), ("l1",), (row, nothing), facts, {}, published)
    lines = grid_text(score_grid(found)).splitlines()
    assert lines[0] == "|  | L1 ↓ | AKD ↓ |"
    assert lines[2:] == [
        "| Theirs (published) | 0.0625 | 1.000 |",
        "| mine | 0.1250 | - |",
        "| do nothing | 0.5000 | - |",
    ]
    html = html_report(replace(found, metrics=()))
    assert "Theirs (published)" in html
    assert "Table 9 of a paper" in html
    assert as_json(found)["published"][0]["source"] == "Table 9 of a paper"

"""Names from outside, as they are shown on a screen, in Markdown and in a spreadsheet."""

from __future__ import annotations

import pytest

from talkhead.printable import csv_text, markdown_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[a](http://b)", r"\[a\](http://b)"),
        ("a\n# b", r"a\\n# b"),
        ("_a_ id1_b", r"\_a\_ id1_b"),
        ("`*`", r"\`\*\`"),
    ],
)
def test_markdown_shows_names_as_they_are(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


def test_spreadsheets_take_no_name_for_a_formula() -> None:
    assert csv_text("=cmd|' /C calc'!A0").startswith("'=")
    assert [csv_text(text)[0] for text in ("+1", "-1", "@a")] == ["'"] * 3
    assert csv_text("anna-0") == "anna-0"
    assert printable("tab\tend\nbad\udcff\x9b") == "tab\tend\nbad\\udcff\\x9b"

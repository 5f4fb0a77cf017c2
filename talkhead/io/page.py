"""Reports as one HTML file: its look, tables, pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

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
td.better { color: #00704f; } td.worse { color: #b3261e; } td.best { font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 0 2rem; }
svg { width: 100%; max-width: 640px; font: 14px system-ui, sans-serif; display: block; }
img { width: 100%; max-width: 1024px; display: block; }
.heads { display: flex; max-width: 1024px; font-size: 13px; color: #555; }
.heads span { flex: 1; text-align: center; }
.key { margin-right: 1rem; white-space: nowrap; } .key i { display: inline-block; width: .8em;
  height: .8em; border-radius: 50%; margin-right: .35em; }
p.note, figcaption { color: #555; font-size: 13px; } figure { margin: 0 0 .8rem; }
.faces { display: flex; flex-wrap: wrap; gap: 4px; } .faces img { width: 96px; }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole HTML file of parts that are HTML."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f'</title><meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML; one that begins with <td is taken whole."""
    top = "".join(f"<th>{text}</th>" for text in head)
    lines = [
        "".join(text if text.startswith("<td") else f"<td>{text}</td>" for text in row)
        for row in rows
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class=wide><table class="{kind}"><tr>{top}</tr>{body}</table></div>'


def picture(jpeg: bytes, name: str) -> str:
    """A picture inside the file."""
    data = base64.b64encode(jpeg).decode()
    return f'<img alt="{escape(name)}" src="data:image/jpeg;base64,{data}">'

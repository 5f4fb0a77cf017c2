"""The words that mark a video as synthetic, and how formats without tags carry them."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from talkhead.io.atomic import atomic_path

SYNTHETIC = {
    "title": "Synthetic video",
    "comment": "Synthetic media: made with talkhead, a face reenactment tool",
}
PNG_HEADER_SIZE = 33  # signature and the IHDR chunk, after which text may stand
PNG_MARK_SIZE = 512  # bytes within which our marks lie
GIF_HEADER_SIZE = 13


def mark_gif(path: Path, texts: Mapping[str, str]) -> None:
    """Add texts as comments, which FFmpeg's writer leaves out, after the header and its colours."""
    with atomic_path(path) as signed, path.open("rb") as plain, signed.open("xb") as target:
        head = plain.read(GIF_HEADER_SIZE)
        has_colours, colours = head[10] & 0x80, 2 << (head[10] & 7)
        target.write(head + plain.read(3 * colours if has_colours else 0))
        for key, text in texts.items():
            body = f"{key}: {text}".encode()[:255]
            target.write(b"\x21\xfe" + bytes([len(body)]) + body + b"\0")
        shutil.copyfileobj(plain, target)


def marked_png(png: bytes, texts: Mapping[str, str]) -> bytes:
    """A PNG file with text entries after its header."""
    chunks = b"".join(_text_chunk(key, text) for key, text in texts.items())
    return png[:PNG_HEADER_SIZE] + chunks + png[PNG_HEADER_SIZE:]


def _text_chunk(key: str, text: str) -> bytes:
    body = b"iTXt" + key.capitalize().encode() + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def is_marked_png(path: Path) -> bool:
    """Whether a file is a PNG frame as `marked_png` makes it, marks in the same place."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(PNG_HEADER_SIZE + PNG_MARK_SIZE)
    marks = b"".join(_text_chunk(key, text) for key, text in SYNTHETIC.items())
    return head[PNG_HEADER_SIZE:].startswith(marks)

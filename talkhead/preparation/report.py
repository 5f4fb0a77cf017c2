"""The report of a training set: what it holds and what was left out, with pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from pathlib import Path

import numpy as np

from talkhead.data.manifest import ClipEntry
from talkhead.errors import TalkheadError
from talkhead.faces.crop import resize
from talkhead.io.atomic import write_text
from talkhead.io.image import to_jpeg
from talkhead.io.page import page, picture, table
from talkhead.io.window import Place
from talkhead.preparation.journal import Record, clips_of
from talkhead.preparation.quality import REASONS
from talkhead.video.clip import read_frames

log = logging.getLogger(__name__)

REPORT = "report.html"
SHOWN = 40  # clips, evenly over the set
FRAMES, SIDE = 8, 128  # of each that are shown, and how large
LEFT_OUT = 16  # pictures for each reason
MEASURED = ("face", "enlarged", "yaw", "presence", "sharpness", "motion")


def write_report(
    folder: Path, records: Sequence[Record], facts: dict[str, str], failed: dict[str, str]
) -> None:
    """Write the report of a folder's clips. Raises OSError."""
    clips = clips_of(records)
    parts = [
        f"<h1>{escape(folder.resolve().name)}</h1>",
        table(["", ""], [[escape(n), escape(value)] for n, value in facts.items()], "text"),
        *_left_out(folder, records),
        *_quality(clips),
        *_clips(folder, clips),
    ]
    if failed:
        rows = [[escape(video), escape(why)] for video, why in failed.items()]
        parts += ["<h2>Failed in the last call</h2>", table(["video", "why"], rows, "text")]
    write_text(folder / REPORT, page(f"Training set {folder.resolve().name}", parts))


def _left_out(folder: Path, records: Sequence[Record]) -> list[str]:
    """How much was left out for what reason, and faces of it."""
    parts, rows = [], []
    for why, words in REASONS.items():
        found = [each for record in records for each in record.made.rejected if each.reason == why]
        if not found:
            continue
        seconds = sum(each.end - each.start for each in found)
        rows.append([escape(f"{why}: {words}"), str(len(found)), f"{seconds / 60:.1f}"])
        names = islice((each.picture for each in found if each.picture), LEFT_OUT)
        parts += [f"<h3>{escape(why)}</h3>", _faces(folder, names)]
    if not rows:
        return []
    return ["<h2>Left out</h2>", table(["", "stretches", "minutes"], rows), *parts]


def _faces(folder: Path, names: Iterable[str]) -> str:
    files = [folder / name for name in names]
    shown = [picture(file.read_bytes(), file.stem) for file in files if file.is_file()]
    return f'<div class="faces">{"".join(shown)}</div>'


def _quality(clips: Sequence[ClipEntry]) -> list[str]:
    """Quantiles of what was measured of the clips."""
    if not clips:
        return []
    steps = (0, 10, 50, 90, 100)
    rows = []
    for name in MEASURED:
        values = np.percentile([clip.quality.get(name, np.nan) for clip in clips], steps)
        rows.append([name, *(f"{value:.3g}" for value in values)])
    return ["<h2>Quality</h2>", table(["", "least", "10 %", "median", "90 %", "most"], rows)]


def _clips(folder: Path, clips: Sequence[ClipEntry]) -> list[str]:
    """Frames of some clips, a row each."""
    parts = ["<h2>Clips</h2>", f"<p class=note>{min(SHOWN, len(clips))} of {len(clips)}.</p>"]
    for clip in clips[:: max(1, -(-len(clips) // SHOWN))]:
        numbers = np.linspace(0, clip.frames - 1, FRAMES).round().astype(int).tolist()
        try:
            frames = read_frames(Place(folder / clip.clip), numbers)
        except TalkheadError as error:
            log.warning("the report shows nothing of a clip: %s", error)
            continue
        row = np.hstack([resize(frame, SIDE) for frame in frames])
        text = (
            f"{clip.identity}: {clip.source}, {clip.start:.2f} to {clip.end:.2f} s, "
            f"{clip.frames} frames"
        )
        shown = picture(to_jpeg(row), Path(clip.clip).stem)
        parts.append(f"<figure>{shown}<figcaption>{escape(text)}</figcaption></figure>")
    return parts

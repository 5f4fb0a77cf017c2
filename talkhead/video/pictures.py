"""A folder or a pattern of pictures, taken as a video of constant frame rate."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead.errors import TalkheadError
from talkhead.io.image import read_image
from talkhead.video.media import VideoInfo

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jp2"}
SLOWEST, QUICKEST = 0.01, 1000  # frames per second
NUMBER = re.compile(r"%0?(\d*)d")
IN_FOLDER = "%06d.png"  # what the pictures of a folder are called that is written


def frame_rate(rate: float) -> Fraction:
    """Frames per second as a fraction that video formats can hold. Raises TalkheadError."""
    if not SLOWEST <= rate <= QUICKEST:
        raise TalkheadError(
            f"the frame rate must lie between {SLOWEST:g} and {QUICKEST:g} per second, not {rate:g}"
        )
    return Fraction(rate).limit_denominator(1001)


def is_picture_sequence(path: Path) -> bool:
    """Whether the path is a folder, or a pattern such as `frames/*.png` or `frames/%04d.png`."""
    if path.exists():
        return path.is_dir()
    return bool(NUMBER.search(path.name)) or any(sign in path.name for sign in "*?[")


def picture_files(path: Path) -> list[Path]:
    """The pictures of a folder or pattern in natural order (2 before 10)."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES]
    elif match := NUMBER.search(path.name):
        before, after = re.escape(path.name[: match.start()]), re.escape(path.name[match.end() :])
        name = re.compile(f"{before}\\d{{{match[1] or 1},}}{after}")
        files = [f for f in _entries(path.parent) if name.fullmatch(f.name)]
    else:
        files = [Path(file) for file in glob.glob(str(path))]
    # Hidden files are left by operating systems, never frames.
    files = [file for file in files if not file.name.startswith(".") and file.is_file()]
    return sorted(files, key=_natural)


def pattern_to_write(output: Path) -> Path | None:
    """What numbered pictures are called that make up an output; None for an output of one file.

    A path without an ending is a folder of them, `frames_%05d.png` names them one by one.
    """
    if output.suffix == "":
        return output / IN_FOLDER
    is_pattern = output.suffix.lower() == ".png" and NUMBER.search(output.name)
    return output if is_pattern else None


def numbered(pattern: str, number: int) -> str:
    """The name that a pattern such as `frame_%05d.png` gives to one picture."""
    return NUMBER.sub(lambda sign: f"{number:0{sign[1] or 1}d}", pattern)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in parts]


class PictureSource:
    """Pictures on disk with the same shape as `MediaSource`: stamped entries, then pixels."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.path = path
        self._files = picture_files(path)
        if not self._files:
            raise TalkheadError(
                f"{path} has no pictures in it; expected png, jpg, webp, bmp or tiff files"
                if path.is_dir()
                else f"{path} matches no pictures; check the pattern"
            )
        height, width = self.rgb(self._files[0]).shape[:2]
        self.info = VideoInfo(
            width=width,
            height=height,
            time_base=1 / rate,
            rate=rate,
            duration=float(len(self._files) / rate),
            frames=len(self._files),
            codec=self._files[0].suffix[1:].lower(),
            colorspace="rgb",
            color_range="full",
            transfer="sdr",
            bit_depth=8,
        )
        self.first_pts = 0

    def pictures(self, from_pts: int) -> Iterator[tuple[int, Path]]:
        """Picture number (= pts) and file, from number `from_pts` on."""
        yield from list(enumerate(self._files))[max(0, from_pts) :]

    def rgb(self, file: Path) -> np.ndarray:
        """uint8 (H, W, 3)."""
        return read_image(file)

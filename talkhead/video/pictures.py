"""Pictures as a video: a folder or a pattern of them at a constant rate, or an animated one."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from talkhead.errors import TalkheadError
from talkhead.io.image import BrokenPictureError, PictureHeader, read_animation, read_image
from talkhead.video.media import VideoInfo
from talkhead.video.opening import check_unchanged, stamp_of

log = logging.getLogger(__name__)

PICTURE_ENDINGS = "png jpg jpeg webp avif bmp tif tiff ppm jp2"
PICTURE_SUFFIXES = frozenset(f".{ending}" for ending in PICTURE_ENDINGS.split())
SLOWEST, QUICKEST = 0.01, 1000  # frames per second
RATE_FRAMES = 10  # of an animation, whose times tell its rate
NUMBER = re.compile(r"%0?(\d*)d")
IN_FOLDER = "%06d.png"  # what the pictures of a folder are called that is written


def frame_rate(rate: float) -> Fraction:
    """Frames per second as a fraction that video formats can hold. Raises TalkheadError.

    >>> frame_rate(30000 / 1001)
    Fraction(30000, 1001)
    """
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


def content_stamp(paths: Iterable[Path]) -> str:
    """Changes when the content of files or of folders of pictures does."""
    files = [file for path in paths for file in (picture_files(path) if path.is_dir() else [path])]
    stats = [file.stat() for file in files]
    return " ".join(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats)


def picture_files(path: Path) -> list[Path]:
    """The pictures of a folder or pattern in natural order (2 before 10)."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES]
    elif match := NUMBER.search(path.name):
        before, after = re.escape(path.name[: match.start()]), re.escape(path.name[match.end() :])
        name = re.compile(f"{before}\\d{{{match[1] or 1},}}{after}")
        files = [f for f in entries(path.parent) if name.fullmatch(f.name)]
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


def entries(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where there is none."""
    return list(folder.iterdir()) if folder.is_dir() else []


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts]


class PictureSource:
    """Pictures on disk with the same shape as `MediaSource`: numbers as times, then pixels.

    A picture that is broken is shown as the one before it, with a warning; or, without `hold`,
    raises TalkheadError.
    """

    def __init__(self, path: Path, rate: Fraction, hold: bool = True) -> None:
        self.path = path
        self._hold = hold
        self._files = picture_files(path)
        if not self._files:
            raise TalkheadError(
                f"{path} has no pictures in it; expected png, jpg, webp, avif, bmp or tiff files"
                if path.is_dir()
                else f"{path} matches no pictures; check the pattern"
            )
        self._stamps = [stamp_of(file) for file in self._files]
        codec = self._files[0].suffix[1:]
        self.info = _info(read_image(self._files[0]), 1 / rate, rate, len(self._files), codec)
        self.first_pts = 0

    def pictures(self, from_pts: int) -> Iterator[tuple[int, int]]:
        """Picture numbers (= pts), from `from_pts` on, twice."""
        for number in range(max(0, from_pts), len(self._files)):
            check_unchanged(self._files[number], self._stamps[number])
            yield number, number

    def rgb(self, number: int) -> np.ndarray:
        """uint8 (H, W, 3)."""
        try:
            return read_image(self._files[number])
        except BrokenPictureError as error:
            if number == 0 or not self._hold:
                raise
            log.warning("%s; the picture before it is shown for longer", error)
            return self.rgb(number - 1)


class AnimationSource:
    """An animated WebP, PNG or AVIF with the same shape as `MediaSource`; times in milliseconds."""

    def __init__(self, path: Path, header: PictureHeader) -> None:
        self.path = path
        self._stamp = stamp_of(path)
        frames = islice(read_animation(path), RATE_FRAMES)
        delay, first = next(frames)
        delays = [delay, *(delay for delay, _ in frames)]
        rate = Fraction(1000 * len(delays), sum(delays))
        self.info = _info(first, Fraction(1, 1000), rate, header.frames, header.format)
        self.first_pts = 0

    def pictures(self, from_pts: int) -> Iterator[tuple[int, np.ndarray]]:
        """Times and pixels from the beginning: every frame may be a change to the one before."""
        check_unchanged(self.path, self._stamp)
        pts = 0
        for delay, rgb in read_animation(self.path):
            yield pts, rgb
            pts += delay
        check_unchanged(self.path, self._stamp)

    def rgb(self, picture: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3)."""
        return picture


def _info(
    first: np.ndarray, time_base: Fraction, rate: Fraction, frames: int | None, codec: str
) -> VideoInfo:
    return VideoInfo(
        width=first.shape[1],
        height=first.shape[0],
        time_base=time_base,
        rate=rate,
        duration=None if frames is None else float(frames / rate),
        frames=frames,
        codec=codec.lower(),
        colorspace="rgb",
        color_range="full",
        transfer="sdr",
        bit_depth=8,
    )

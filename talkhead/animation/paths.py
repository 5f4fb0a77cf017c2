"""Input and output paths: never overwrite an input, or an output without --overwrite."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from talkhead.errors import TalkheadError
from talkhead.io.atomic import refuse_input
from talkhead.motion.template import MotionTemplate
from talkhead.video.numbered import end_of_link, home
from talkhead.video.pictures import is_picture_sequence, pattern_to_write, picture_files
from talkhead.video.writer import check_free

ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")  # of the web; paths lose the second slash


def files_of(inputs: Iterable[Path | MotionTemplate]) -> list[Path]:
    """The files that inputs consist of: those of a folder or pattern one by one."""
    return [
        file
        for path in inputs
        if isinstance(path, Path)
        for file in (picture_files(path) if is_picture_sequence(path) else [path])
    ]


def stamps(inputs: Iterable[Path | MotionTemplate]) -> list[tuple[str, int, int]]:
    """Place, size and time of change of every input file: not the same once one has changed."""
    found = [(path.resolve(), path.stat()) for path in files_of(inputs)]
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found]


def check_inputs(inputs: Iterable[Path | MotionTemplate]) -> None:
    """Raise TalkheadError for inputs that are not there, and for addresses of the web."""
    paths = [path for path in inputs if isinstance(path, Path)]
    for path in paths:
        refuse_address(str(path))
    for path in files_of(paths):
        if not path.exists():
            raise TalkheadError(f"{path} does not exist; check the path")


def refuse_address(text: str) -> None:
    """Raise TalkheadError for an address of the web: nothing is ever fetched."""
    if ADDRESS.match(text) and not Path(text).exists():
        raise TalkheadError(
            f"{text} is an address, and only files are read; download it and give its path"
        )


def files_written(output: Path) -> list[Path]:
    """What an output is made of, as far as it is there; links followed."""
    output = end_of_link(output)
    pattern = pattern_to_write(output)
    return [output, home(output), *(picture_files(pattern) if pattern else [])]


def check_output(output: Path, inputs: Iterable[Path | MotionTemplate], overwrite: bool) -> None:
    """Refuse inputs that are not there and an output that cannot or should not be written, first.

    inputs: all files that are read, weights as well; hard and symbolic links to them are known.
    Numbered pictures are looked at one by one. Raises TalkheadError.
    """
    paths = [path for path in inputs if isinstance(path, Path)]
    check_inputs(paths)
    refuse_address(str(output))
    output = end_of_link(output)
    refuse_input(files_written(output), [*paths, *files_of(paths)])
    check_free(output, overwrite)
    folder = home(output).parent
    if not folder.is_dir():
        raise TalkheadError(f"there is no folder {folder}; make it first")

"""Input and output paths: never overwrite an input, or an output without --overwrite."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from talkhead.errors import TalkheadError
from talkhead.motion.template import MotionTemplate
from talkhead.video.pictures import is_picture_sequence, pattern_to_write, picture_files


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


def check_output(output: Path, inputs: Iterable[Path | MotionTemplate], overwrite: bool) -> None:
    """Refuse inputs that are not there and an output that cannot or should not be written, first.

    Numbered pictures are looked at one by one. Raises TalkheadError.
    """
    paths = [path for path in inputs if isinstance(path, Path)]
    for path in files_of(paths):
        if not path.exists():
            raise TalkheadError(f"{path} does not exist; check the path")
    read = {path.resolve() for path in (*paths, *files_of(paths))}
    pattern = pattern_to_write(output)
    replaced = [output, *(picture_files(pattern) if pattern else [])]
    if any(path.resolve() in read for path in replaced):
        raise TalkheadError(f"the output {output} is also an input; give it another name")
    for path in replaced:
        if path.exists() and not overwrite:
            raise TalkheadError(f"{path} exists; pass --overwrite to replace it")
    if not output.parent.is_dir():
        raise TalkheadError(f"there is no folder {output.parent}; make it first")

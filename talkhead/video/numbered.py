"""Numbered PNG pictures as an output: all of them or none, and in place of none but our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from talkhead.errors import TalkheadError
from talkhead.io.atomic import follow_link, place, publish_folder
from talkhead.video.marking import is_marked_png, marked_png
from talkhead.video.pictures import IN_FOLDER, entries, numbered, pattern_to_write, picture_files


def home(output: Path) -> Path:
    """What an output is beside other files, links followed.

    The folder that pictures fill, or the output itself.
    """
    path = follow_link(output.parent if output.name == IN_FOLDER else output)
    path = path.resolve() if path.name in ("", "..") else path
    if not path.name:
        raise TalkheadError(f"{path} is no place for an output; name a file or a folder in it")
    return path


def end_of_link(output: Path) -> Path:
    """The file that is written for an output that is a link.

    Pictures keep the name they are given, which says that they are pictures.
    """
    return output if pattern_to_write(output) else follow_link(output)


def write_pictures(
    frames: Iterable[bytes], folder: Path, pattern: Path, metadata: Mapping[str, str]
) -> None:
    """Coded PNG frames as numbered files, from 0, in a new folder."""
    folder.mkdir()
    for number, frame in enumerate(frames):
        (folder / numbered(pattern.name, number)).write_bytes(marked_png(frame, metadata))


def check_pictures(pattern: Path, overwrite: bool) -> None:
    """Refuse to replace pictures unasked, and ever those that are not our frames. TalkheadError."""
    for file in picture_files(pattern):
        if not overwrite:
            raise TalkheadError(f"{file} exists; pass --overwrite to replace the frames there")
        if not is_marked_png(file):
            raise TalkheadError(
                f"{file} was not written by talkhead and is kept; choose another name or folder"
            )


def publish_pictures(made: Path, pattern: Path, aside: Path, overwrite: bool) -> None:
    """Bring finished pictures to where the pattern names them, in place of all our frames there.

    A folder of nothing but frames is replaced at once; among other files, frame by frame.
    aside: see `publish_folder`. Raises TalkheadError like `check_pictures`.
    """
    check_pictures(pattern, overwrite)
    folder = follow_link(pattern.parent)
    old = picture_files(folder / pattern.name)
    if pattern.name == IN_FOLDER and len(old) == len(entries(folder)):
        publish_folder(made, folder, aside, overwrite, is_marked_png)
        return
    folder.mkdir(exist_ok=True)
    # Old frames go only after the new ones are in, so that a failure on the way loses none.
    left = set(old)
    for file in sorted(made.iterdir()):
        target = folder / file.name
        place(file, target, overwrite)
        left.discard(target)
    for file in left:
        file.unlink()

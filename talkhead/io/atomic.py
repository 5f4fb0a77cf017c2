"""Atomic writing of files: whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from talkhead.errors import TalkheadError

NAME_BYTES = 255  # what file systems take
SUFFIX_BYTES = 32  # a longer "ending" is part of the name


def fitting_name(name: str, ending: str) -> str:
    """`name` + `ending`; too long for a file system, the name is cut and told apart by a hash."""
    if len(os.fsencode(name + ending)) <= NAME_BYTES:
        return name + ending
    return f"{name[:32]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}{ending}"


def follow_link(path: Path) -> Path:
    """The file that a symbolic link leads to, any other path as it is.

    What is written to a link goes to the end of it, and the link stays. Raises TalkheadError for
    links that lead nowhere but to each other.
    """
    if not path.is_symlink():
        return path
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise TalkheadError(f"{path} is a link that leads in a circle; remove it") from error


def is_same(path: Path, other: Path) -> bool:
    """Whether two paths are one file, by whatever names and links, or will be."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return follow_link(path).resolve() == follow_link(other).resolve()


def refuse_input(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise TalkheadError where something is to be written over a file that is read.

    Files are told apart by what they are, not by name: hard and symbolic links are seen through.
    """
    refuse_read(outputs, {identity(path) for path in inputs if path.exists()})


def refuse_read(outputs: Iterable[Path], read: Collection[tuple[int, int]]) -> None:
    """The same for files that are known by their `identity`."""
    for path in outputs:
        if path.exists() and identity(path) in read:
            raise TalkheadError(f"the output {path} is also an input; give it another name")


def identity(path: Path) -> tuple[int, int]:
    """What a file is, by whatever name. Raises OSError."""
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def check_file(output: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Refuse, before any work, an output of one file that is an input, or no file, or exists.

    Raises TalkheadError; with `overwrite` not for a file that exists.
    """
    output = follow_link(output)
    refuse_input([output], inputs)
    if output.is_dir():
        raise TalkheadError(f"{output} is a folder; give the file a name in it")
    if output.exists() and not output.is_file():
        raise TalkheadError(f"{output} is no regular file, so nothing is written to it")
    if output.exists() and not overwrite:
        raise TalkheadError(f"{output} exists; pass --overwrite to replace it")


def publish(partial: Path, path: Path, overwrite: bool) -> None:
    """Make a finished file appear under its name at once, surviving a power cut.

    Raises like `place`.
    """
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    place(partial, path, overwrite)


def place(partial: Path, path: Path, overwrite: bool) -> None:
    """Rename a finished file.

    Raises TalkheadError where there is a file of that name that is not to be replaced, also one
    that has just appeared.
    """
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)
    except FileExistsError as error:
        raise _appeared(path) from error
    except OSError:  # file systems without hard links, such as FAT: take the name, then rename
        take_name(path, overwrite=False)
        try:
            partial.replace(path)
        except BaseException:
            path.unlink()
            raise
    else:
        partial.unlink()


def take_name(path: Path, overwrite: bool) -> None:
    """Make an empty file, to be written to; with `overwrite` one that is there will do as well.

    Raises TalkheadError where the name is taken.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | (0 if overwrite else os.O_EXCL), 0o666))
    except FileExistsError as error:
        raise _appeared(path) from error


def _appeared(path: Path) -> TalkheadError:
    return TalkheadError(
        f"{path} exists, perhaps since a moment ago, and was kept; pass --overwrite to replace it"
    )


@contextmanager
def atomic_path(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """A place to write to, which becomes `path` when the block ends well and else is removed.

    It lies beside `path` (or the end of that link), keeps its ending, and is this process's own: of
    several that write the same file one wins. Without `overwrite` a file that exists by then stays,
    and TalkheadError is raised. Errors of the disk are raised as they are.
    """
    path = follow_link(path)
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= SUFFIX_BYTES else ""
    name = fitting_name(f".{path.name.removesuffix(suffix)}", f".{os.getpid()}.part{suffix}")
    partial = path.with_name(name)
    partial.unlink(missing_ok=True)  # of a process that was killed, or a link that somebody put
    try:
        yield partial
        publish(partial, path, overwrite)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str, overwrite: bool = True) -> None:
    """Write UTF-8, whole or not at all; what UTF-8 cannot hold is escaped.

    Raises like `atomic_path`.
    """
    with atomic_path(path, overwrite) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


@contextmanager
def whole_folder(path: Path, overwrite: bool, is_own: Callable[[Path], bool]) -> Iterator[Path]:
    """A new folder for files, which becomes `path` when the block ends well and else is removed.

    is_own, and what is raised: see `publish_folder`.
    """
    path = follow_link(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    made, aside = (
        path.with_name(fitting_name(f".{path.name}", f".{os.getpid()}.{ending}"))
        for ending in ("part", "old")
    )
    if made.is_dir():
        shutil.rmtree(made)  # of a killed process that had this one's number
    made.mkdir()
    try:
        yield made
        publish_folder(made, path, aside, overwrite, is_own)
    finally:
        if made.is_dir():
            shutil.rmtree(made)


def check_folder(path: Path, overwrite: bool, is_own: Callable[[Path], bool]) -> list[Path]:
    """The files of a folder that is to be replaced; none where it is missing or empty.

    Raises TalkheadError where it holds files that are to stay: all of them without `overwrite`,
    else those that are not `is_own`.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise TalkheadError(f"{path} is a file, where a folder is to be; choose another name")
    old = list(path.iterdir()) if path.is_dir() else []
    if old and not overwrite:
        raise _appeared(path)
    if strangers := [file for file in old if not is_own(file)]:
        raise TalkheadError(f"{path} holds {strangers[0].name}, which is kept; choose another name")
    return old


def publish_folder(
    made: Path, path: Path, aside: Path, overwrite: bool, is_own: Callable[[Path], bool]
) -> None:
    """Make a finished folder of files appear under its name, in place of one like it if wanted.

    is_own: whether a file in the folder of that name is of the kind that may be deleted.
    aside:  where that folder lies meanwhile, on the same disk; deleted at the end.

    Raises TalkheadError like `check_folder`.
    """
    if not check_folder(path, overwrite, is_own):
        if path.is_dir():
            path.rmdir()  # it is empty; not every system replaces it
        os.rename(made, path)
        return
    os.rename(path, aside)
    try:
        os.rename(made, path)
    except BaseException:
        os.rename(aside, path)
        raise
    for file in aside.iterdir():
        file.unlink()
    aside.rmdir()

"""Folders that talkhead keeps for itself: marked, locked, emptied of nothing but its own files."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import sys
from collections.abc import Collection
from pathlib import Path

from talkhead.errors import TalkheadError

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

MARK = ".talkhead"
MARK_BYTES = 100  # a mark is shorter
SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no links; no pipe waits


class OwnedFolder:
    """A folder with our mark, locked for as long as this object lives.

    It is made where it is missing. One that is there is taken over when it is empty or carries the
    mark, a file that says `kind`; the mark is also what is locked.

    busy:  what to say when another process has locked it.
    known: it is ours by other signs, and only lacks the mark.

    Raises TalkheadError for a link, for a folder that others put there, and for a locked one;
    OSError for what the disk says.
    """

    def __init__(self, path: Path, kind: str, busy: str, known: bool = False) -> None:
        self.path = path
        if path.is_symlink():
            raise self._not_ours(kind, "is a link")
        if os.path.lexists(path) and not path.is_dir():
            raise self._not_ours(kind, "is a file")
        path.mkdir(exist_ok=True)
        mark = path / MARK
        known = known or self.is_empty()
        if not os.path.lexists(mark) and not known:
            raise self._not_ours(kind, "holds other files")
        try:
            descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | SAFELY, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR):
                raise self._not_ours(kind, f"has a {MARK} that is no file of ours") from error
            raise
        self._mark = open(descriptor, "r+b", buffering=0)  # noqa: SIM115 - closed by `release`
        try:
            self._check(kind, known)
            self._lock(busy)
        except BaseException:
            self.release()
            raise

    def _check(self, kind: str, known: bool) -> None:
        """Read the mark, or write it where there is none yet."""
        text = f"talkhead {kind}\n".encode()
        if not stat.S_ISREG(os.fstat(self._mark.fileno()).st_mode):
            raise self._not_ours(kind, f"has a {MARK} that is no file of ours")
        found = self._mark.read(MARK_BYTES)
        if found == b"" and known:
            self._mark.write(text)
        elif found != text:
            raise self._not_ours(kind, f"has a {MARK} that says something else")

    def _lock(self, busy: str) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TalkheadError(busy) from error
        except OSError as error:
            log.warning(
                "%s lies on a disk without locks (%s): take care that nothing else writes there",
                self.path,
                error.strerror,
            )
        if not os.path.samestat(os.fstat(self._mark.fileno()), os.lstat(self.path / MARK)):
            raise TalkheadError(busy)  # another process has just removed and made it

    def _not_ours(self, kind: str, why: str) -> TalkheadError:
        return TalkheadError(
            f"{self.path} {why}, so it is not used as {kind}; choose another name, or move it away"
        )

    def is_empty(self) -> bool:
        """Whether nothing is in it, or the mark alone."""
        return all(path.name == MARK for path in self.path.iterdir())

    def remove(self) -> None:
        """Delete the mark, and the folder if nothing else is left in it; let go of it."""
        if sys.platform == "win32":
            self.release()  # no open file is deleted there
        (self.path / MARK).unlink(missing_ok=True)
        try:
            self.path.rmdir()
        except OSError as error:
            log.debug("%s stays: %s", self.path, error)
        self.release()

    def release(self) -> None:
        """Let other processes have it."""
        self._mark.close()


def is_owned(folder: Path, kind: str) -> bool:
    """Whether a folder carries our mark of that kind."""
    try:
        found = read_own(folder / MARK)
    except OSError:
        return False
    return found == f"talkhead {kind}\n".encode()


def delete_own(folder: Path, names: re.Pattern[str], keep: Collection[Path] = ()) -> None:
    """Delete the files of a folder whose names match; of a link the link, not what it leads to.

    A folder that is a link itself, or missing, is left alone. Raises OSError.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        is_file = path.is_symlink() or not path.is_dir()
        if is_file and names.fullmatch(path.name) and path not in keep:
            path.unlink()


def read_own(path: Path) -> bytes | None:
    """What a regular file holds; None for a missing one, a link, a pipe. Raises OSError."""
    if path.is_symlink() or not path.is_file():
        return None
    return path.read_bytes()

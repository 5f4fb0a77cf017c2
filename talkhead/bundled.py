"""Files that come with talkhead: weights, and the digests beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from talkhead.errors import TalkheadError


def bundled(name: str) -> Path:
    """A file of `weights/`. Raises TalkheadError where it is missing."""
    path = shipped(f"weights/{name}")
    if path is None:
        raise TalkheadError(
            f"the bundled weights {name} are missing from this installation; reinstall talkhead"
        )
    return path


def shipped(name: str) -> Path | None:
    """A file inside the installed package or at the top of a checkout; None where it is missing."""
    package = Path(__file__).parent
    places = (package / name, package.parent / name)
    return next((place for place in places if place.is_file()), None)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(path: Path, digest: str) -> None:
    """Compare a file's SHA-256 with the one that lies beside it (`FILE.sha256`), if one does.

    Raises TalkheadError when they differ.
    """
    sidecar = path.with_name(f"{path.name}.sha256")
    if not sidecar.is_file():
        return
    with sidecar.open("rb") as file:
        expected, *_ = [*file.read(1000).split(), b""]
    if expected.decode(errors="replace") != digest:
        raise TalkheadError(f"{path} does not match its SHA-256 in {sidecar.name}; it is damaged")

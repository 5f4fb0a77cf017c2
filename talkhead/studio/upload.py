"""Files that a browser sends: onto disk as they come, up to a limit."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from talkhead.errors import TalkheadError
from talkhead.studio.session import Role

LIMITS: dict[Role, int] = {"portrait": 1 << 30, "driving": 32 << 30}  # bytes
KEEP_FREE = 1 << 30  # bytes of the disk that uploads leave


async def receive(
    chunks: AsyncIterator[bytes], path: Path, role: Role, announced: int | None
) -> None:
    """Write a request's body to `path`; TalkheadError when it is empty or too large."""
    limit = LIMITS[role]
    room = shutil.disk_usage(path.parent).free - KEEP_FREE
    if announced is not None:
        _check(announced, limit, room, path.name)
    written = 0
    async with await anyio.open_file(path, "wb") as file:
        async for chunk in chunks:
            written += len(chunk)
            _check(written, limit, room, path.name)
            await file.write(chunk)
    if written == 0:
        raise TalkheadError(f"{path.name} is empty; get a complete copy of it")


def _check(size: int, limit: int, room: int, name: str) -> None:
    if size > limit:
        raise TalkheadError(
            f"{name} is too large ({size / 2**30:.1f} GB; the limit is {limit >> 30} GB); "
            "use the command line for it"
        )
    if size > room:
        raise TalkheadError(
            f"the disk has no room for {name}; make room, or set TMPDIR to a folder on a larger "
            "disk and start again"
        )

"""The browser's camera drives the portrait: a JPEG comes, a JPEG goes."""

from __future__ import annotations

import json
import struct
import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from talkhead.studio.controls import read_settings
from talkhead.studio.sentences import sentence_of, warnings_of
from talkhead.studio.session import Session
from talkhead.studio.state import Studio

if TYPE_CHECKING:
    from talkhead.animation.live_portrait import LivePortrait


async def follow(studio: Studio, session: Session, socket: WebSocket) -> None:
    """Until the page closes the connection.

    The page sends its settings, then pictures one at a time, each once the one before has come
    back, so that none waits. Text `measure anew` makes the next one the anchor. Each picture is
    answered by four bytes, the milliseconds of work as a little-endian float, and a JPEG; or by
    text: that no face was seen yet, or an error, which ends it.
    """
    await socket.accept()
    try:
        settings = (await socket.receive_json())["settings"]
        portrait, warnings = await run_in_threadpool(_begin, studio, session, settings)
        await socket.send_json({"state": "ready", "warnings": warnings})
        began = time.monotonic()
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is not None:
                portrait.measure_anew()
                continue
            milliseconds = round(1000 * (time.monotonic() - began))
            drawn = await run_in_threadpool(_draw, portrait, message["bytes"], milliseconds)
            if drawn is None:
                await socket.send_json({"state": "no face yet"})
            else:
                await socket.send_bytes(drawn)
    except WebSocketDisconnect:
        return
    except Exception as error:
        text = sentence_of(error, session.folder)
        await socket.send_text(json.dumps({"state": "failed", "error": text}))
        await socket.close()


def _begin(
    studio: Studio, session: Session, settings: dict[str, object]
) -> tuple[LivePortrait, list[str]]:
    from talkhead.animation.live_portrait import LivePortrait

    path = session.need("portrait").path
    with warnings_of(session.folder) as warnings:
        portrait = LivePortrait(studio.engine(), path, read_settings(settings))
    return portrait, warnings


def _draw(portrait: LivePortrait, jpeg: bytes, milliseconds: int) -> bytes | None:
    from talkhead.io.image import from_jpeg, to_jpeg

    began = time.perf_counter()
    drawn = portrait(from_jpeg(jpeg), milliseconds)
    if drawn is None:
        return None
    picture = to_jpeg(drawn)
    return struct.pack("<f", 1000 * (time.perf_counter() - began)) + picture

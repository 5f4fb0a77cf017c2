"""The addresses of the page: each parses, calls the library in a thread, and answers in JSON."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from talkhead.animation.settings import RenderSettings
from talkhead.errors import Stopped, TalkheadError
from talkhead.structs import Strengths
from talkhead.studio.access import Guard
from talkhead.studio.controls import command_line, impossible, read_settings, refusal
from talkhead.studio.live import follow
from talkhead.studio.sentences import sentence_of, warnings_of
from talkhead.studio.session import Media, Role, Session, plain_name
from talkhead.studio.state import EXAMPLES, Studio, example
from talkhead.studio.upload import receive
from talkhead.version import __version__

PAGE = Path(__file__).parent / "page"
VIEW_SIDE = 1024  # pixels; the longer side of the pictures in which faces are chosen
Answer = Callable[[Studio, Session, Request], Awaitable[Response]]
Talk = Callable[[Studio, Session, WebSocket], Awaitable[None]]


def build(studio: Studio) -> Starlette:
    """The application; `studio` must have been entered."""
    inside, connected = partial(_in_session, studio), partial(_connected, studio)

    async def begin(_: Request) -> Response:
        return JSONResponse(_introduction(studio, studio.sessions.begin()))

    async def index(_: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ending = asyncio.create_task(studio.sessions.end_left())
        yield
        ending.cancel()

    own = "/api/{session}"
    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/sessions", begin, methods=["POST"]),
            Route(f"{own}/media/{{role}}", inside(put_media), methods=["PUT"]),
            Route(f"{own}/examples/{{role}}", inside(take_example), methods=["POST"]),
            Route(f"{own}/faces/{{role}}", inside(find_faces), methods=["POST"]),
            Route(f"{own}/check", inside(check), methods=["POST"]),
            Route(f"{own}/strip", inside(strip), methods=["POST"]),
            Route(f"{own}/renders", inside(add_render), methods=["POST"]),
            Route(f"{own}/renders/{{number:int}}", inside(stop_render), methods=["DELETE"]),
            Route(f"{own}/inspect", inside(inspect), methods=["POST"]),
            Route(f"{own}/files/{{name}}", inside(get_file)),
            Route(f"{own}/end", inside(end), methods=["POST"]),
            WebSocketRoute(f"{own}/events", connected(_send_events)),
            WebSocketRoute(f"{own}/live", connected(follow)),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(Guard, host=studio.choice.host, key=studio.choice.key)],
        lifespan=lifespan,
    )


def _in_session(studio: Studio, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Find the session, and answer errors in a sentence with status 400."""

    async def handle(request: Request) -> Response:
        session = studio.sessions.get(request.path_params["session"])
        if session is None:
            raise HTTPException(410, "this page has ended; reload it")
        try:
            return await answer(studio, session, request)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:
            if session.closed:  # its files went with it, and nobody waits for the answer
                return Response(status_code=410)
            sentence = sentence_of(error, session.folder)
            return JSONResponse({"error": sentence}, status_code=400)

    return handle


def _introduction(studio: Studio, session: Session) -> dict[str, Any]:
    """What a page must know to begin with."""
    return {
        "session": session.id,
        "version": __version__,
        "controls": [asdict(control) for control in studio.controls],
        "defaults": asdict(RenderSettings()),
        "examples": {
            role: [name for name in names if example(role, name)]
            for role, names in EXAMPLES.items()
        },
    }


def _connected(studio: Studio, talk: Talk) -> Callable[[WebSocket], Awaitable[None]]:
    """Find the session of a connection; without one it is closed."""

    async def handle(socket: WebSocket) -> None:
        session = studio.sessions.get(socket.path_params["session"])
        if session is None:
            await socket.close(1008)
        else:
            await talk(studio, session, socket)

    return handle


async def _send_events(studio: Studio, session: Session, socket: WebSocket) -> None:
    """Renders' progress, and first whether the weights are loaded, for as long as it is open."""
    await socket.accept()

    async def send() -> None:
        async for event in session.events():
            await socket.send_json(event)

    async def tell_engine() -> None:
        engine = await run_in_threadpool(studio.engine)
        session.tell({"type": "ready", "family": engine.family, "device": str(engine.device)})

    sending = [asyncio.create_task(send()), asyncio.create_task(tell_engine())]
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        for task in sending:
            task.cancel()


def _role(request: Request) -> Role:
    role = request.path_params["role"]
    if role not in EXAMPLES:
        raise HTTPException(404)
    return cast(Role, role)


async def put_media(studio: Studio, session: Session, request: Request) -> Response:
    """A file as the request's body, its name in the query."""
    role = _role(request)
    name = plain_name(request.query_params.get("name", ""), role)
    path = session.new_folder() / name
    length = request.headers.get("content-length", "")
    try:
        await receive(request.stream(), path, role, int(length) if length.isdecimal() else None)
        return await _take(studio, session, role, Media(path, name))
    except BaseException:
        path.unlink(missing_ok=True)  # nobody can ask for it any more, and it may be large
        raise


async def take_example(studio: Studio, session: Session, request: Request) -> Response:
    """Use an example file as portrait or driving video."""
    role = _role(request)
    name = (await request.json())["name"]
    path = example(role, name)
    if path is None:
        raise TalkheadError(f"there is no example {name}; choose a file of your own")
    return await _take(studio, session, role, Media(path, name))


async def _take(studio: Studio, session: Session, role: Role, media: Media) -> Response:
    """Check a file by finding its faces, then choose it."""
    session.asked[role] = media
    found = await run_in_threadpool(_faces, studio, session, role, media, RenderSettings())
    if session.asked[role] is media:  # else another was chosen meanwhile
        session.media[role] = media
    return JSONResponse({**found, "file": session.publish(media.path)})


async def find_faces(studio: Studio, session: Session, request: Request) -> Response:
    """The faces again, with other settings."""
    role, settings = _role(request), await _settings(request)
    media = session.need(role)
    return JSONResponse(await run_in_threadpool(_faces, studio, session, role, media, settings))


def _faces(
    studio: Studio, session: Session, role: Role, media: Media, settings: RenderSettings
) -> dict[str, Any]:
    from talkhead.animation.found_faces import faces_of_driving, faces_of_portrait
    from talkhead.faces.crop import shrink
    from talkhead.io.image import write_image

    find = faces_of_portrait if role == "portrait" else faces_of_driving
    with warnings_of(session.folder) as warnings:
        found = find(media.path, settings, studio.finder(settings.detector))
    height, width = found.picture.shape[:2]
    view = session.new_folder() / "view.jpg"
    write_image(view, shrink(found.picture, VIEW_SIDE)[0])
    return {
        "name": media.name,
        "width": width,
        "height": height,
        "view": session.publish(view),
        "faces": [face.box for face in found.faces],
        "crops": [[crop.x, crop.y, crop.side, crop.angle] for crop in found.crops],
        "chosen": found.chosen,
        "warnings": warnings,
    }


async def _settings(request: Request) -> RenderSettings:
    return read_settings((await request.json())["settings"])


async def check(studio: Studio, session: Session, request: Request) -> Response:
    """What cannot be chosen beside these settings."""
    settings = await _settings(request)
    refused = impossible(settings, studio.controls)
    if studio.loading.done():
        refused = {**refused, **_refused_by_weights(studio, settings)}
    return JSONResponse({"impossible": refused})


def _refused_by_weights(studio: Studio, settings: RenderSettings) -> dict[str, dict[str, str]]:
    """What these weights cannot do, but what is chosen: that can at least be given back."""
    engine, found = studio.engine(), {}
    if settings.motion != "avd" and (why := refusal(engine.require_avd)):
        found["motion"] = {"avd": why}
    for part in fields(Strengths):
        weak = Strengths(**{part.name: 0.0})
        if getattr(settings, part.name) == 1 and (why := refusal(engine.require_parts, weak)):
            found[part.name] = {"*": why}
    return found


async def strip(studio: Studio, session: Session, request: Request) -> Response:
    """Frames of the preview, a line of JSON for each as soon as it is drawn."""
    settings = await _settings(request)
    portrait, driving = session.need("portrait"), session.need("driving")

    def lines() -> Iterator[str]:
        from talkhead.io.image import to_jpeg

        try:
            frames = studio.preview(session)(portrait.path, driving.path, settings)
            while True:
                with warnings_of(session.folder) as warnings:
                    frame = next(frames, None)
                for warning in warnings:
                    yield json.dumps({"warning": warning}) + "\n"
                if frame is None:
                    return
                picture = base64.b64encode(to_jpeg(frame.rgb)).decode()
                yield json.dumps({"seconds": frame.seconds, "jpeg": picture}) + "\n"
        except Exception as error:
            yield json.dumps({"error": sentence_of(error, session.folder)}) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def add_render(studio: Studio, session: Session, request: Request) -> Response:
    """Put a render into the queue; answers its number."""
    settings = await _settings(request)

    def add() -> int:
        from talkhead.studio.renders import output_name

        portrait, driving = session.need("portrait"), session.need("driving")
        output, more = output_name(portrait, driving, settings), studio.choice.arguments
        command = command_line([portrait.name, driving.name], output, settings, more)
        return studio.renders.add(session, settings, output, command).number

    return JSONResponse({"number": await run_in_threadpool(add)})


async def stop_render(studio: Studio, session: Session, request: Request) -> Response:
    """End a render; what is drawn is kept."""
    studio.renders.stop(session, request.path_params["number"])
    return JSONResponse({})


async def inspect(studio: Studio, session: Session, request: Request) -> Response:
    """A sheet of figures for one driving frame."""
    asked = await request.json()
    settings, frame = read_settings(asked["settings"]), asked.get("frame")
    portrait, driving = session.need("portrait"), session.need("driving")

    def draw() -> dict[str, Any]:
        from talkhead.figures import inspect as figures

        def progress(stage: str, done: int, total: int | None) -> None:
            session.tell({"type": "inspect", "stage": stage, "done": done, "total": total})
            if session.closed:
                raise Stopped("the page was closed")

        output = session.new_folder() / "inspect.png"
        with warnings_of(session.folder) as warnings:
            report = figures.inspect(
                portrait.path, driving.path, output, studio.engine(), settings,
                frame=frame, progress=progress,
            )  # fmt: skip
        return {**asdict(report), "file": session.publish(output), "warnings": warnings}

    return JSONResponse(await run_in_threadpool(draw))


async def end(studio: Studio, session: Session, request: Request) -> Response:
    """The page was closed: its renders stop, its files go."""
    await run_in_threadpool(studio.sessions.end, session)
    return Response()


async def get_file(studio: Studio, session: Session, request: Request) -> Response:
    """One of the session's own files; there is no way to name any other."""
    path = session.files.get(request.path_params["name"])
    if path is None or not await anyio.Path(path).is_file():
        return JSONResponse({"error": "there is no such file"}, status_code=404)
    return FileResponse(path, headers={"Accept-Ranges": "bytes"})

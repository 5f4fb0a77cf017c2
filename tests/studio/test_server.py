"""The studio's server: what a page can ask for, what it cannot, and the files it makes."""

from __future__ import annotations

import json
import logging
import shlex
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import pytest
from PIL import Image

from studio_page import Client, serving  # isort: skip - it skips this file without the extra
from media import frames_of, make_clip, moving_picture
from typer.testing import CliRunner

from talkhead.animation.settings import RenderSettings
from talkhead.animation.threads import Prefetcher
from talkhead.cli import app
from talkhead.errors import TalkheadError
from talkhead.faces.alignment import Detector
from talkhead.faces.finder import FaceFinder
from talkhead.io.image import from_jpeg, read_image, to_jpeg
from talkhead.studio import session
from talkhead.studio.renders import output_name
from talkhead.studio.sentences import Warnings, warnings_of
from talkhead.studio.session import Media, plain_name
from talkhead.studio.state import Studio
from talkhead.video.media_source import MediaSource

PNG = cv2.imencode(".png", moving_picture(0))[1].tobytes()
CENTRED = {"crop_source": "none", "crop_driving": "none"}
EXAMPLES = Path(__file__).parents[2] / "examples"
HOUR = 3600  # frames


# The whole way


def test_a_render_is_the_file_that_its_command_line_makes(
    ready: Client, portrait: Path, tmp_path: Path
) -> None:
    settings = {**CENTRED, "smooth": 0.5, "layout": "side-by-side", "frames": 6}
    with ready.socket("events") as events:
        ready.own("POST", "renders", {"settings": settings})
        event = ready.until(events, "done", "failed")
    assert event["error"] is None
    (tmp_path / "studio.mp4").write_bytes(ready.file(event["file"]))
    words = shlex.split(event["command"])
    assert words[:4] == ["talkhead", "animate", portrait.name, "drive.mp4"]
    places = {portrait.name: str(portrait), "drive.mp4": str(tmp_path / "drive.mp4")}
    places[event["name"]] = str(tmp_path / "cli.mp4")
    result = CliRunner().invoke(app, [places.get(word, word) for word in words[1:]])
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "studio.mp4").read_bytes() == (tmp_path / "cli.mp4").read_bytes()


def test_a_new_connection_is_told_how_renders_ended(ready: Client) -> None:
    with ready.socket("events") as events:
        ready.own("POST", "renders", {"settings": {**CENTRED, "frames": 2}})
        ended = ready.until(events, "done", "failed")
    with ready.socket("events") as events:
        assert ready.until(events, "done", "failed") == ended


def test_names_of_results_fit_file_systems() -> None:
    photo, video = (Media(Path("x"), f"{'ф' * 69}.{end}") for end in ("png", "mp4"))
    name = output_name(photo, video, RenderSettings())
    assert len(name.encode()) < 200
    assert name.endswith(".mp4")


def test_a_result_is_marked_and_has_the_drivers_sound(ready: Client, tmp_path: Path) -> None:
    with ready.socket("events") as events:
        ready.own("POST", "renders", {"settings": CENTRED})
        event = ready.until(events, "done", "failed")
    path = tmp_path / event["name"]
    path.write_bytes(ready.file(event["file"]))
    with av.open(str(path)) as container:
        assert "ynthetic" in container.metadata["comment"]
        assert len(container.streams.audio) == 1
    assert len(frames_of(path)) == 12


def test_the_strip_comes_frame_by_frame(ready: Client) -> None:
    found = ready.lines(CENTRED)
    assert [round(25 * line["seconds"]) for line in found] == [0, 2, 4, 6, 8, 10]
    assert all("jpeg" in line for line in found)


def test_cancelling_keeps_what_is_drawn(
    client: Client, portrait: Path, hour: Path, tmp_path: Path
) -> None:
    client.upload("portrait", portrait)
    client.upload("driving", hour)
    settings = {**CENTRED, "anchor": "first", "size": 256}
    with client.socket("events") as events:
        number = client.own("POST", "renders", {"settings": settings})["number"]
        client.until(events, "working")
        while client.until(events, "working")["stage"] != "rendering":
            pass
        client.own("DELETE", f"renders/{number}")
        event = client.until(events, "done", "stopped", "failed")
    assert event["state"] == "stopped"
    path = tmp_path / "part.mp4"
    path.write_bytes(client.file(event["file"]))
    assert 0 < len(frames_of(path)) == event["done"] < HOUR


def test_cancelling_while_motion_is_read_keeps_nothing(
    client: Client, portrait: Path, hour: Path
) -> None:
    client.upload("portrait", portrait)
    client.upload("driving", hour)
    with client.socket("events") as events:
        number = client.own("POST", "renders", {"settings": CENTRED})["number"]
        while client.until(events, "working")["stage"] != "reading motion":
            pass
        client.own("DELETE", f"renders/{number}")
        event = client.until(events, "done", "stopped", "failed")
    assert (event["state"], event["file"]) == ("stopped", None)
    assert "nothing was kept" in event["error"]


def test_the_strip_of_an_hour_is_drawn_without_reading_it_all(
    client: Client, portrait: Path, hour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.upload("portrait", portrait)
    client.upload("driving", hour)
    decoded: list[int] = []
    time_of = MediaSource._time

    def count(self: MediaSource, frame: av.VideoFrame) -> int | None:
        decoded.append(1)
        return time_of(self, frame)

    monkeypatch.setattr(MediaSource, "_time", count)
    found = client.lines(CENTRED)
    assert [line["seconds"] for line in found] == [0, 600, 1200, 1800, 2400, 3000]
    assert 6 <= len(decoded) < HOUR / 10


def test_two_pages_share_one_queue(running: tuple[Studio, int], portrait: Path, hour: Path) -> None:
    first, second = Client(running[1]).begin(), Client(running[1]).begin()
    for each in (first, second):
        each.upload("portrait", portrait)
        each.upload("driving", hour)
    with first.socket("events") as here, second.socket("events") as there:
        number = first.own("POST", "renders", {"settings": CENTRED})["number"]
        first.until(here, "working")
        second.own("POST", "renders", {"settings": {**CENTRED, "frames": 2}})
        assert second.until(there, "waiting")["before"] == 1
        first.own("DELETE", f"renders/{number}")
        assert second.until(there, "done", "failed")["done"] == 2


def test_a_page_that_closes_stops_its_renders_and_takes_its_files_along(
    running: tuple[Studio, int], portrait: Path, hour: Path, tmp_path: Path
) -> None:
    client = Client(running[1]).begin()
    client.upload("portrait", portrait)
    client.upload("driving", hour)
    session = running[0].sessions.get(client.session)
    assert session is not None
    with client.socket("events") as events:
        client.own("POST", "renders", {"settings": {**CENTRED, "anchor": "first"}})
        client.until(events, "working")
        client.own("POST", "end")
    assert not session.folder.exists()
    other = Client(running[1]).begin()
    other.upload("portrait", portrait)
    other.upload("driving", make_clip(tmp_path / "short.mp4", frames=2))
    with other.socket("events") as events:
        other.own("POST", "renders", {"settings": CENTRED})
        assert other.until(events, "done", "failed")["state"] == "done"
    status, body, _ = client.ask("POST", f"/api/{client.session}/strip", b"{}")
    assert (status, body) == (410, b"this page has ended; reload it")


def test_a_page_whose_connection_is_lost_ends_after_a_while(
    toy_weights: Path, portrait: Path, hour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "GRACE", 0.3)
    with serving(toy_weights) as (studio, port):
        client = Client(port).begin()
        folder = studio.sessions.get(client.session).folder  # type: ignore[union-attr]
        with client.socket("events") as events:
            client.upload("portrait", portrait)
            client.upload("driving", hour)
            client.own("POST", "renders", {"settings": {**CENTRED, "anchor": "first"}})
            client.until(events, "working")
        deadline = time.monotonic() + 60
        while studio.sessions.get(client.session) or folder.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with studio.renders._change:
            assert studio.renders._change.wait_for(lambda: not studio.renders._current, 60)


def test_the_newest_choice_counts(running: tuple[Studio, int], ready: Client) -> None:
    """A file that takes longer to check than one that was chosen after it."""
    mine = running[0].sessions.get(ready.session)
    assert mine is not None
    finder, asked = running[0].finder, threading.Event()

    def slow(detector: Detector) -> FaceFinder:
        if not asked.is_set():
            asked.set()
            assert ready.own("POST", "examples/portrait", {"name": "portrait.jpg"})["faces"]
        return finder(detector)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(running[0], "finder", slow)
        ready.upload("portrait", EXAMPLES / "portrait.jpg", "slow.jpg")
    assert mine.need("portrait").name == "portrait.jpg"


# What the library warns of


def test_warnings_come_with_the_answer_to_what_caused_them(
    client: Client, portrait: Path, tmp_path: Path
) -> None:
    Image.open(portrait).save(tmp_path / "odd.png", icc_profile=b"no profile")
    (profile,) = client.upload("portrait", tmp_path / "odd.png")["warnings"]
    assert profile.startswith("odd.png: its colour profile cannot be used")
    client.upload("driving", make_clip(tmp_path / "two.mp4", frames=3, audio_tracks=2))
    settings = {**CENTRED, "size": 65}
    odd = "the size 65 is odd, which most video cannot be; it is made 66"
    assert {"warning": odd} in client.lines(settings)
    assert {"warning": odd} not in client.lines({**CENTRED, "size": 66})
    with client.socket("events") as events:
        client.own("POST", "renders", {"settings": settings})
        event = client.until(events, "done", "failed")
    assert {profile, odd, "two.mp4 has 2 sound tracks; track 0 is used"} == {*event["warnings"]}


def test_a_warning_of_a_thread_of_the_work_is_heard(tmp_path: Path) -> None:
    def items() -> Iterator[int]:
        logging.getLogger("talkhead.video").warning("%s/7/drive.mp4 is damaged", tmp_path)
        yield 1

    with Warnings(), warnings_of(tmp_path) as mine:
        with Prefetcher(items(), 1) as ahead:
            assert list(ahead) == [1]
        with warnings_of(tmp_path) as others:
            logging.getLogger("talkhead.video").warning("of other work")
    assert mine == ["drive.mp4 is damaged"]
    assert others == ["of other work"]


def test_inspect_draws_a_sheet(ready: Client, tmp_path: Path) -> None:
    report = ready.own("POST", "inspect", {"settings": CENTRED, "frame": 3})
    assert report["frame"] == 3
    (tmp_path / "sheet.png").write_bytes(ready.file(report["file"]))
    assert read_image(tmp_path / "sheet.png").shape[1] > 256


def test_live_answers_each_picture_with_one(ready: Client) -> None:
    with ready.socket("live") as live:
        live.send(json.dumps({"settings": CENTRED}))
        assert json.loads(live.recv(timeout=60)) == {"state": "ready", "warnings": []}
        for number in (0, 5):
            live.send(to_jpeg(moving_picture(number)))
            answer = live.recv(timeout=60)
            assert struct.unpack("<f", answer[:4])[0] > 0
            assert from_jpeg(answer[4:]).shape == (80, 80, 3)


def test_live_says_that_no_face_was_seen(ready: Client) -> None:
    with ready.socket("live") as live:
        live.send(json.dumps({"settings": {**CENTRED, "crop_driving": "auto"}}))
        live.recv(timeout=60)
        live.send(to_jpeg(moving_picture(0)))
        assert json.loads(live.recv(timeout=60)) == {"state": "no face yet"}


# Bad input


def test_a_broken_portrait_is_told_of_as_on_the_command_line(
    running: tuple[Studio, int], ready: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of a picture")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TalkheadError) as told:
        read_image("broken.jpg")
    mine = running[0].sessions.get(ready.session)
    assert mine is not None
    assert ready.upload("portrait", tmp_path / "broken.jpg") == {"error": str(told.value)}
    assert not list(mine.folder.rglob("broken.jpg"))
    assert len(ready.lines(CENTRED)) == 6  # the one before is still there


@pytest.mark.parametrize(
    ("role", "name", "data", "said"),
    [
        ("portrait", "empty.png", b"", "empty.png is empty"),
        ("driving", "notes.txt", b"no film", "notes.txt"),
        ("driving", "cut.mp4", b"\0\0\0\x18ftypisom", "cut.mp4"),
        ("driving", "photo.png", PNG, "photo.png is one picture"),
        ("driving", "play.sdp", b"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", "play.sdp"),
    ],
)
def test_a_bad_upload_is_told_of(
    client: Client, tmp_path: Path, role: str, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    answer = client.upload(role, tmp_path / name)
    assert said in answer["error"]
    assert str(tmp_path) not in answer["error"]
    assert "talkhead-studio" not in answer["error"]


def test_what_is_missing_is_asked_for(client: Client, portrait: Path) -> None:
    assert "portrait first" in client.own("POST", "strip", {"settings": {}})["error"]
    client.upload("portrait", portrait)
    assert "driving video first" in client.own("POST", "renders", {"settings": {}})["error"]


def test_a_driver_without_a_face_is_told_of(ready: Client) -> None:
    (line,) = ready.lines({"crop_source": "none"})
    assert "--crop-driving" in line["error"]


def test_names_of_files_cannot_leave_the_folder_or_be_patterns() -> None:
    assert plain_name("../../etc/passwd", "portrait") == "passwd"
    assert plain_name("C:\\photos\\me.JPG", "portrait") == "me.JPG"
    assert plain_name("frame_%04d*[1]?.png", "portrait") == "frame__04d__1__.png"
    assert plain_name(".hidden", "driving") == "driving.hidden"
    assert plain_name("", "driving") == "driving"
    assert plain_name("-o.mp4", "driving") == "o.mp4"


def test_an_upload_without_room_is_refused(
    client: Client, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from talkhead.studio import upload

    monkeypatch.setattr(upload, "KEEP_FREE", 1 << 60)
    assert "no room" in client.upload("portrait", portrait)["error"]
    monkeypatch.setattr(upload, "KEEP_FREE", 0)
    monkeypatch.setitem(upload.LIMITS, "portrait", 100)
    assert "too large" in client.upload("portrait", portrait)["error"]

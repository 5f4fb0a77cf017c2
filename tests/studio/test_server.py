"""The studio's server: what a page can ask for, what it cannot, and the files it makes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from studio_page import Client, serving  # isort: skip - it skips this file without the extra
from media import make_clip, moving_picture
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus

import talkhead
from talkhead.animation.settings import RenderSettings
from talkhead.cli import app
from talkhead.errors import TalkheadError
from talkhead.io.image import from_jpeg, read_image, to_jpeg
from talkhead.studio.access import is_loopback
from talkhead.studio.controls import command_line, controls, impossible, read_settings
from talkhead.studio.server import listen
from talkhead.studio.session import plain_name
from talkhead.studio.state import Studio
from talkhead.video import VideoReader

PNG = cv2.imencode(".png", moving_picture(0))[1].tobytes()
CENTRED = {"crop_source": "none", "crop_driving": "none"}
PAGE = Path(talkhead.__file__).parent / "studio" / "page"


@pytest.fixture(scope="module")
def running(toy_weights: Path) -> Iterator[tuple[Studio, int]]:
    with serving(toy_weights) as found:
        yield found


@pytest.fixture
def client(running: tuple[Studio, int]) -> Client:
    return Client(running[1]).begin()


@pytest.fixture
def ready(client: Client, portrait: Path, tmp_path: Path) -> Client:
    """A page with a portrait and a driving video of 12 frames, with sound."""
    client.upload("portrait", portrait)
    client.upload("driving", make_clip(tmp_path / "drive.mp4", frames=12))
    return client


def frames_of(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack([frame.rgb for frame in reader])


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


def test_cancelling_keeps_what_is_drawn(client: Client, portrait: Path, tmp_path: Path) -> None:
    client.upload("portrait", portrait)
    client.upload("driving", make_clip(tmp_path / "long.mp4", frames=1500))
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
    assert 0 < len(frames_of(path)) == event["done"] < 1500


def test_two_pages_share_one_queue(
    running: tuple[Studio, int], portrait: Path, tmp_path: Path
) -> None:
    first, second = Client(running[1]).begin(), Client(running[1]).begin()
    driving = make_clip(tmp_path / "long.mp4", frames=600)
    for each in (first, second):
        each.upload("portrait", portrait)
        each.upload("driving", driving)
    with first.socket("events") as here, second.socket("events") as there:
        number = first.own("POST", "renders", {"settings": CENTRED})["number"]
        first.until(here, "working")
        second.own("POST", "renders", {"settings": {**CENTRED, "frames": 2}})
        assert second.until(there, "waiting")["before"] == 1
        first.own("DELETE", f"renders/{number}")
        assert second.until(there, "done", "failed")["done"] == 2


def test_a_page_that_closes_stops_its_renders_and_takes_its_files_along(
    running: tuple[Studio, int], portrait: Path, tmp_path: Path
) -> None:
    client = Client(running[1]).begin()
    client.upload("portrait", portrait)
    client.upload("driving", make_clip(tmp_path / "long.mp4", frames=1500))
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


def test_inspect_draws_a_sheet(ready: Client, tmp_path: Path) -> None:
    report = ready.own("POST", "inspect", {"settings": CENTRED, "frame": 3})
    assert report["frame"] == 3
    (tmp_path / "sheet.png").write_bytes(ready.file(report["file"]))
    assert read_image(tmp_path / "sheet.png").shape[1] > 256


def test_live_answers_each_picture_with_one(ready: Client) -> None:
    with ready.socket("live") as live:
        live.send(json.dumps({"settings": CENTRED}))
        assert json.loads(live.recv(timeout=60)) == {"state": "ready"}
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
    ready: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of a picture")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TalkheadError) as told:
        read_image("broken.jpg")
    assert ready.upload("portrait", tmp_path / "broken.jpg") == {"error": str(told.value)}
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


# Who may ask


def test_another_name_for_this_machine_is_refused(client: Client) -> None:
    status, body, _ = client.ask("GET", "/", headers={"Host": "evil.example"})
    assert (status, b"evil.example" in body) == (403, True)
    with pytest.raises(InvalidStatus):
        client.socket("events", additional_headers={"Host": "evil.example"}).close()


def test_another_page_is_refused(client: Client) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        status, _, _ = client.ask("POST", "/api/sessions", headers=headers)
        assert status == 403
    with pytest.raises(InvalidStatus):
        client.socket("live", origin="https://evil.example").close()


def test_only_files_of_the_session_can_be_asked_for(
    running: tuple[Studio, int], ready: Client, portrait: Path
) -> None:
    own = ready.upload("portrait", portrait)["file"]
    assert ready.file(own) == portrait.read_bytes()
    stranger = Client(running[1]).begin()
    for path in (f"/api/{stranger.session}/files/{own}", "/api/nobody/files/1", "/page/../app.py"):
        assert stranger.ask("GET", path)[0] in (404, 410)
    for name in ("..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "1%2f..%2f..%2fx"):
        assert stranger.ask("GET", f"/api/{stranger.session}/files/{name}")[0] == 404


def test_a_shared_studio_needs_its_key(toy_weights: Path) -> None:
    with serving(toy_weights, key="secret") as (_, port):
        client = Client(port)
        assert client.ask("GET", "/")[0] == 403
        assert client.ask("GET", "/?key=wrong")[0] == 403
        status, _, headers = client.ask("GET", "/?key=secret", headers={"Host": f"10.0.0.7:{port}"})
        assert status == 200
        cookie = headers["set-cookie"].partition(";")[0]
        assert client.ask("POST", "/api/sessions", headers={"Cookie": cookie})[0] == 200


def test_the_page_loads_nothing_from_elsewhere(client: Client) -> None:
    for path in PAGE.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"""(?:https?:)?//[\w-]+\.[\w.-]+""", text) == [], path.name
    status, _, headers = client.ask("GET", "/")
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_a_file_is_served_in_parts(ready: Client, portrait: Path) -> None:
    name = ready.upload("portrait", portrait)["file"]
    path = f"/api/{ready.session}/files/{name}"
    status, body, _ = ready.ask("GET", path, headers={"Range": "bytes=10-19"})
    assert (status, body) == (206, portrait.read_bytes()[10:20])


# RenderSettings


CHANGED: dict[str, Any] = {
    "motion": "absolute", "adapt_scale": False, "anchor": "first", "smooth": 0.25,
    "mouth": 0.5, "eyes": 1.5, "head": 0.0, "gaze": 2.0,
    "crop_source": "1,2,30", "crop_driving": "none", "face": 2, "driving_face": 3,
    "detector": "yunet", "layout": "grid", "paste_back": True, "size": 512, "max_side": 640,
    "start": 0.5,
    "end": 2.0, "frames": 9, "sound": False, "track": 1, "video_track": 1, "codec": "hevc",
    "crf": 20, "preset": "slow",
}  # fmt: skip


def test_every_setting_reaches_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, portrait: Path
) -> None:
    seen: list[RenderSettings] = []

    def record(jobs: object, settings: RenderSettings, *_: object) -> None:
        seen.append(settings)
        raise TalkheadError("seen")

    monkeypatch.setattr(sys.modules["talkhead.cli.animate"], "opened", record)
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    for control in controls():
        settings = read_settings({control.name: CHANGED[control.name]})
        line = command_line([str(portrait), str(driving)], str(tmp_path / "out.mp4"), settings)
        CliRunner().invoke(app, shlex.split(line)[1:])
        assert seen.pop() == settings, line


def test_settings_that_contradict_each_other_cannot_be_chosen() -> None:
    forms = controls()
    assert impossible(RenderSettings(), forms) == {}
    pasted = impossible(RenderSettings(paste_back=True), forms)
    assert set(pasted) == {"layout", "size"}
    assert set(pasted["layout"]) == {"side-by-side", "grid"}
    assert "pasted back" in pasted["size"]["*"]
    assert "anchor" in impossible(RenderSettings(motion="absolute"), forms)
    assert "track" in impossible(RenderSettings(sound=False), forms)
    assert "avd" in impossible(RenderSettings(head=0.5), forms)["motion"]
    assert set(impossible(RenderSettings(layout="grid"), forms)) == {"paste_back"}


def test_motion_that_the_weights_cannot_draw_cannot_be_chosen(client: Client) -> None:
    found = client.own("POST", "check", {"settings": {}})["impossible"]
    assert "AVD" in found["motion"]["avd"]
    assert "do not know which keypoints belong to the mouth" in found["mouth"]["*"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": "large"}, "size must be a whole number"),
        ({"smooth": 2}, "smooth must be a number, 0 to 1"),
        ({"smooth": None}, "smooth is float"),
        ({"face": True}, "face is int"),
        ({"wings": 1}, "no setting 'wings'"),
        ({"paste_back": True, "layout": "grid"}, "choose one of both"),
    ],
)
def test_wrong_settings_are_told_of(client: Client, values: dict[str, Any], said: str) -> None:
    assert said in client.own("POST", "check", {"settings": values})["error"]


# The command


def test_a_taken_port_is_told_of() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["studio", "--port", str(port)])
    assert result.exit_code == 1
    assert f"port {port} is taken" in result.stderr
    with pytest.raises(TalkheadError, match="no host nowhere"):
        listen("nowhere.invalid", 0)


def test_others_are_let_in_only_when_asked() -> None:
    result = CliRunner().invoke(app, ["studio", "--host", "0.0.0.0"])
    assert result.exit_code == 1
    assert "--share" in result.stderr
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("192.168.1.5")


def test_a_missing_extra_is_told_of_with_the_command() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\nfrom talkhead.cli import app; app(['studio'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'talkhead[studio]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_that_cannot_be_read_end_the_command(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    words = ["studio", "--port", "0", "--weights", str(tmp_path / "bad.safetensors")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "bad.safetensors" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ending_the_command_removes_all_files(
    toy_weights: Path, portrait: Path, tmp_path: Path
) -> None:
    words = ["studio", "--port", "0", "--weights", str(toy_weights)]
    with subprocess.Popen(
        [sys.executable, "-m", "talkhead", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    ) as studio:  # fmt: skip
        assert studio.stdout is not None
        port = int(re.search(r":(\d+)/", studio.stdout.readline())[1])  # type: ignore[index]
        client = Client(port)
        for _ in range(100):
            try:
                client.begin()
                break
            except ConnectionError:
                time.sleep(0.1)
        client.upload("portrait", portrait)
        assert len(list(tmp_path.rglob("portrait.png"))) == 1
        studio.send_signal(signal.SIGTERM)
        studio.wait(timeout=30)
    assert studio.returncode in (130, 143)  # 128 and the signal, where it is told
    assert list(tmp_path.iterdir()) == []

"""`talkhead studio` itself: how it starts, what stops it, and whom it talks to."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from studio_page import Client  # isort: skip - it skips this file without the extra
from copies import copy, talkhead
from media import make_clip, moving_picture
from typer.testing import CliRunner

from talkhead.cli import app
from talkhead.errors import TalkheadError
from talkhead.io.image import to_jpeg
from talkhead.studio.access import is_loopback
from talkhead.studio.server import listen


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
    assert 'pip install ".[studio]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_that_cannot_be_read_end_the_command(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    words = ["studio", "--port", "0", "--weights", str(tmp_path / "bad.safetensors")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "bad.safetensors" in result.stderr


def studio_that_is_watched(watched: Path, folder: Path, *words: object) -> None:
    """Write every address that Python's sockets are told of, and every program that is started.

    What is imported does not either: `test_house` sees to that.
    """
    tempfile.tempdir = str(folder)
    file = watched.open("w", buffering=1)

    def watch(event: str, given: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
            print("address", given[1][0] if isinstance(given[1], tuple) else "local", file=file)
        elif event in PROGRAMS_AND_NAMES:
            print(event, given[0], file=file)

    sys.addaudithook(watch)
    talkhead("studio", *words)


PROGRAMS_AND_NAMES = (
    *("socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.system"),
)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_from_start_to_end_only_this_machine_is_talked_to_and_all_files_are_removed(
    toy_weights: Path, portrait: Path, tmp_path: Path
) -> None:
    work, watched = tmp_path / "work", tmp_path / "watched"
    work.mkdir()
    centred = {"crop_source": "none", "crop_driving": "none"}
    with started(watched, toy_weights, work) as (studio, client):
        client.upload("portrait", portrait)
        client.upload("driving", make_clip(tmp_path / "drive.mp4", frames=4))
        assert len(client.lines(centred)) == 4
        client.own("POST", "inspect", {"settings": centred, "frame": 1})
        with client.socket("events") as events:
            client.own("POST", "renders", {"settings": centred})
            assert client.until(events, "done", "failed")["done"] == 4
        with client.socket("live") as live:
            live.send(json.dumps({"settings": centred}))
            live.recv(timeout=60)
            live.send(to_jpeg(moving_picture(0)))
            assert isinstance(live.recv(timeout=60), bytes)
        assert len(list(work.rglob("portrait.png"))) == 1
        os.kill(studio.pid, signal.SIGTERM)
        studio.join(60)
    assert studio.exitcode in (130, 143)  # 128 and the signal, where it is told
    assert list(work.iterdir()) == []
    seen = {*watched.read_text().splitlines()}
    assert "address 127.0.0.1" in seen  # it was watched
    assert seen <= {"address 127.0.0.1", "socket.getaddrinfo 127.0.0.1"}


@contextmanager
def started(watched: Path, weights: Path, folder: Path) -> Iterator[tuple[BaseProcess, Client]]:
    """The command as a process of its own, its files in `folder`, and a page of it."""
    words = ["--port", "0", "--weights", weights]
    told = watched.with_name("told")
    with copy(studio_that_is_watched, watched, folder, *words, told=told) as (studio, stdout):
        line = os.fdopen(os.dup(stdout)).readline()
        port = int(re.search(r":(\d+)/", line)[1])  # type: ignore[index]
        yield studio, Client(port).begin()

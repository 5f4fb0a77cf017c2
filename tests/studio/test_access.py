"""Who may use the studio: this machine's own page, its own files, and nobody else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studio_page import Client, serving  # isort: skip - it skips this file without the extra
from websockets.exceptions import InvalidStatus

import talkhead
from talkhead.studio.state import Studio

PAGE = Path(talkhead.__file__).parent / "studio" / "page"


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


@pytest.mark.parametrize("headers", [{"Host": "["}, {"Origin": "http://["}])
def test_headers_that_are_no_addresses_are_refused(client: Client, headers: dict[str, str]) -> None:
    assert client.ask("POST", "/api/sessions", headers=headers)[0] == 403


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
        assert cookie.startswith(f"talkhead_studio_{port}=")  # not that of another studio
        for others in ("", 'consent={"a":1}; ', "c=a b; "):
            headers = {"Cookie": others + cookie}
            assert client.ask("POST", "/api/sessions", headers=headers)[0] == 200


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

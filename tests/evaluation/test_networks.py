"""Networks of metrics: fetched on demand from a local server, checked, listed when missing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from talkhead.evaluation.metrics import networks
from talkhead.evaluation.metrics.networks import NETWORKS, Network, WeightsFile, fetch, ready
from talkhead.evaluation.metrics.suite import build_metrics
from talkhead.inference.engine import Engine

CONTENT = b"weights of a small network" * 100


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves `net.pth` from this machine."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "net.pth").write_bytes(CONTENT)
    handler = partial(Silent, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of torch's."""
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def put(
    monkeypatch: pytest.MonkeyPatch, url: str, sha256: str, package: tuple[str, str] | None = None
) -> None:
    """Have AlexNet be that file, to be run by that library."""
    files = (WeightsFile("net.pth", url, sha256),)
    monkeypatch.setitem(NETWORKS, "alex", Network("small", "MIT", package, files))


def test_what_is_missing_is_fetched_checked_and_fetched_only_once(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, f"{server}/net.pth", hashlib.sha256(CONTENT).hexdigest())
    assert "--download" in str(ready("alex"))
    assert ready("alex", download=True) is None
    assert (cache / "net.pth").read_bytes() == CONTENT
    monkeypatch.setattr(networks.hub, "download_url_to_file", None)
    fetch("alex")
    assert ready("alex") is None


def test_a_file_with_another_hash_is_not_kept(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, f"{server}/net.pth", "0123456789")
    reason = str(ready("alex", download=True))
    assert hashlib.sha256(CONTENT).hexdigest()[:10] in reason
    assert "0123456789" in reason
    assert list(cache.iterdir()) == []


def test_a_file_that_is_not_served_is_named_and_where_it_belongs(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, f"{server}/lost.pth", "00")
    reason = str(ready("alex", download=True))
    assert f"{server}/lost.pth" in reason
    assert str(cache / "net.pth") in reason
    assert list(cache.iterdir()) == []


def test_a_damaged_file_on_disk_is_not_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, "http://127.0.0.1:9/net.pth", "00ff")
    cache.mkdir(parents=True)
    (cache / "net.pth").write_bytes(b"cut off")
    assert "is not the net.pth that was published" in str(ready("alex"))


def test_nothing_is_fetched_for_a_library_that_is_not_there(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, f"{server}/net.pth", "", package=("no_such_library", "no-such-library"))
    reason = str(ready("alex", download=True))
    assert "pip install 'no-such-library'" in reason
    assert "--download" in reason
    assert not cache.exists()


def test_nothing_is_fetched_unless_asked_and_other_metrics_are_judged(
    engine: Engine, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("went to the network")

    monkeypatch.setattr(networks.hub, "download_url_to_file", refuse)
    suite = build_metrics(["l1", "akd", "csim", "fid"], engine)
    assert {name for backend in suite.backends for name in backend.metrics} >= {"l1"}
    assert set(suite.skipped) == {"akd", "csim", "fid"}
    assert suite.features is None


@pytest.mark.parametrize("name", NETWORKS)
def test_every_download_is_encrypted_and_has_a_hash_to_check(name: str) -> None:
    for file in NETWORKS[name].files:
        if file.url:
            assert file.url.startswith("https://")
            assert len(file.sha256) >= 8
        else:
            assert NETWORKS[name].hint

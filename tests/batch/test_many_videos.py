"""Many videos in one go: what fails in part, is interrupted, and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from media import frame_seconds, make_clip
from rendering import SQUARE
from typer.testing import CliRunner

from talkhead.batch.results import NOTES, TABLE
from talkhead.cli import app
from talkhead.video import VideoReader, VideoWriter


@pytest.fixture
def run(toy_weights: Path) -> Callable[..., tuple[int, str, str]]:
    """Call `talkhead animate` with toy weights; returns exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        command = ["animate", *map(str, arguments), "--weights", str(toy_weights), *SQUARE]
        result = CliRunner().invoke(app, command)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout, result.stderr

    return call


@pytest.fixture
def photos(portrait: Path, tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{name}.png" for name in ("anna", "bert", "carl")]
    for path in found:
        path.write_bytes(portrait.read_bytes())
    return found


def test_a_broken_photo_fails_alone(
    run: Callable[..., tuple[int, str, str]], photos: list[Path], tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    whole = photos[1].read_bytes()
    photos[1].write_bytes(whole[: len(whole) // 2])
    results = tmp_path / "results"
    code, out, err = run(*photos, driving, "-o", results, "--json")
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("frames") for line in lines] == [2, None, 2]
    assert "bert.png" in lines[1]["error"]
    assert "1 of 3 videos could not be made" in err
    assert [name in err for name in ("anna--drive.mp4  made", "bert--drive.mp4  failed")] == [
        True,
        True,
    ]
    photos[1].write_bytes(whole)
    made = {path: path.stat().st_mtime_ns for path in results.glob("*.mp4")}
    code, out, err = run(*photos, driving, "-o", results)  # the same command again
    assert code == 0, err
    assert out.count("made before, passed over") == 2
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert sorted(path.name for path in results.iterdir()) == [
        *("anna--drive.mp4", "bert--drive.mp4", "carl--drive.mp4")
    ]


def test_an_interrupted_batch_goes_on_where_it_was(
    run: Callable[..., tuple[int, str, str]],
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=6)
    results, motion = tmp_path / "results", tmp_path / "m.safetensors"
    command = (*photos, driving, "-o", results, "--motion-out", motion)
    write = VideoWriter.write

    def interrupted(self: VideoWriter, rgb: np.ndarray, pts: int) -> None:
        if self.path.name.startswith("bert") and self.frames_done + self._in_segment == 3:
            raise KeyboardInterrupt
        write(self, rgb, pts)

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", interrupted)
        code, _, err = run(*command)
    assert code == 130
    assert err.endswith("interrupted\n")
    code, out, err = run(*command)
    assert code == 0, err
    told = out.splitlines()
    assert "passed over" in told[0]
    assert "3 of them from an interrupted run" in told[1]
    assert [len(frame_seconds(path)) for path in sorted(results.glob("*.mp4"))] == [6, 6, 6]
    assert not (results / NOTES).exists()
    code, _, err = run(*command)  # all is made: now they are files like any others
    assert code == 1
    assert "exists" in err


def test_what_a_batch_made_is_made_anew_once_it_was_changed_by_others(
    run: Callable[..., tuple[int, str, str]], photos: list[Path], tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    results = tmp_path / "results"
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    command = (photos[0], photos[1], broken, driving, "-o", results)
    assert run(*command)[0] == 1
    (results / "anna--drive.mp4").write_bytes(b"precious")
    code, _, err = run(*command)
    assert code == 1
    assert "anna--drive.mp4 exists" in err
    assert (results / "anna--drive.mp4").read_bytes() == b"precious"
    (results / NOTES / TABLE).write_bytes(b"{no json")
    code, _, err = run(*command)
    assert code == 1
    assert "exists" in err


def test_a_folder_that_gets_nothing_is_not_left(
    run: Callable[..., tuple[int, str, str]], photos: list[Path], tmp_path: Path
) -> None:
    code, _, err = run(*photos, tmp_path / "missing.mp4", "-o", tmp_path / "results")
    assert code == 1
    assert "does not exist" in err
    assert not (tmp_path / "results").exists()
    (tmp_path / "broken.safetensors").write_bytes(b"no motion")
    code, _, err = run(*photos, tmp_path / "broken.safetensors", "-o", tmp_path / "results")
    assert code == 1
    assert "3 of 3 videos could not be made" in err
    assert not (tmp_path / "results").exists()


def test_the_record_of_what_is_made_is_not_written_through_a_link(
    run: Callable[..., tuple[int, str, str]], photos: list[Path], tmp_path: Path
) -> None:
    driving, precious = make_clip(tmp_path / "drive.mp4", frames=2), tmp_path / "precious"
    precious.write_bytes(b"precious")
    (tmp_path / "results" / NOTES).mkdir(parents=True)
    (tmp_path / "results" / NOTES / ".talkhead").write_text("talkhead batch\n")
    (tmp_path / "results" / NOTES / TABLE).symlink_to(precious)
    code, _, err = run(*photos, driving, "-o", tmp_path / "results")
    assert code == 1
    assert "is a link, which is not written to" in err
    assert precious.read_bytes() == b"precious"


def test_a_driver_that_cannot_be_used_fails_alone(
    run: Callable[..., tuple[int, str, str]], photos: list[Path], tmp_path: Path
) -> None:
    driving, broken = make_clip(tmp_path / "drive.mp4", frames=2), tmp_path / "broken.safetensors"
    broken.write_bytes(b"no motion")
    results = tmp_path / "results"
    code, _, err = run(photos[0], broken, "-d", driving, "-o", results)
    assert code == 1
    assert f"error: {results / 'anna--broken.mp4'}: " in err
    assert [path.name for path in results.glob("*.mp4")] == ["anna--drive.mp4"]


def test_a_name_that_ends_with_a_slash_is_a_folder(
    run: Callable[..., tuple[int, str, str]], photos: list[Path], tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    assert run(*photos[:2], driving, "-o", f"{tmp_path}/res.v3/")[0] == 0
    assert sorted(path.name for path in (tmp_path / "res.v3").iterdir()) == [
        *("anna--drive.mp4", "bert--drive.mp4")
    ]
    assert run(photos[0], driving, "-o", f"{tmp_path}/frames.v3/")[0] == 0
    assert sorted(path.name for path in (tmp_path / "frames.v3").iterdir()) == [
        *("000000.png", "000001.png")
    ]
    (tmp_path / "old.v3").mkdir()
    assert run(photos[0], driving, "-o", tmp_path / "old.v3")[0] == 0
    assert len(list(VideoReader(tmp_path / "old.v3"))) == 2


def test_long_names_of_both_inputs_make_a_name_that_fits(
    run: Callable[..., tuple[int, str, str]], portrait: Path, tmp_path: Path
) -> None:
    long = tmp_path / ("p" * 240 + ".png")
    long.write_bytes(portrait.read_bytes())
    drivings = [make_clip(tmp_path / ("d" * 239 + f"{n}.mp4"), frames=2) for n in (1, 2)]
    code, _, err = run(long, drivings[0], "-d", drivings[1], "-o", tmp_path / "results")
    assert code == 0, err
    assert len(list((tmp_path / "results").iterdir())) == 2


def test_an_address_is_told_from_a_pattern(
    run: Callable[..., tuple[int, str, str]], portrait: Path, tmp_path: Path
) -> None:
    for address in ("https://example.org/watch?v=1", "http://a.b/*.mp4", "rtmp://a/b"):
        code, _, err = run(portrait, address, "-o", tmp_path / "out.mp4")
        assert code == 1
        assert "is an address" in err


def test_terminal_codes_in_names_are_shown_not_obeyed(
    run: Callable[..., tuple[int, str, str]], portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    name = "a\x1b]0;owned\x07\x1b[31mb\u202e.mp4"
    code, out, _ = run(portrait, driving, "-o", tmp_path / name)
    assert code == 0
    assert "a\\x1b]0;owned\\x07\\x1b[31mb\\u202e.mp4" in out
    code, _, err = run(portrait, tmp_path / "no\x1b[2Jne\n.mp4", "-o", tmp_path / "out.mp4")
    assert code == 1
    assert "no\\x1b[2Jne" in err
    assert "\x1b" not in err
    assert len(err.splitlines()) == 1

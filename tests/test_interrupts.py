"""How programs end: signals, closed streams, batches that fail in part or are interrupted."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import typer
from copies import copy, talkhead
from media import frame_seconds, make_clip, moving_picture
from rendering import SQUARE
from typer.testing import CliRunner

from talkhead import interrupts
from talkhead.animation.threads import BackgroundWriter
from talkhead.batch.results import NOTES, TABLE
from talkhead.cli import app
from talkhead.cli.console import plain_errors
from talkhead.interrupts import (
    ENDING,
    CalledFromC,
    EndInOrder,
    Interrupted,
    ending_in_order,
    held_off,
)
from talkhead.printable import csv_text, markdown_text, printable
from talkhead.video import VideoReader, VideoWriter

HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture
def handlers() -> Iterator[EndInOrder]:
    """Our handler in place of the test runner's."""
    before = {number: signal.getsignal(number) for number in ENDING}
    handler = EndInOrder()
    handler.install()
    yield handler
    for number, old in before.items():
        signal.signal(number, old)


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_interrupts_and_others_do_nothing(
    handlers: EndInOrder, number: signal.Signals
) -> None:
    with pytest.raises(Interrupted) as raised:
        signal.raise_signal(number)
    assert raised.value.number == number
    for other in ENDING:
        signal.raise_signal(other)


def test_ignored_signals_stay_ignored(handlers: EndInOrder) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` has it
    EndInOrder().install()
    signal.raise_signal(signal.SIGHUP)
    with held_off():
        signal.raise_signal(signal.SIGHUP)


def test_signals_wait_for_the_end_of_what_must_not_stop_half_way(handlers: EndInOrder) -> None:
    done = []

    def work() -> None:
        with held_off():
            signal.raise_signal(signal.SIGTERM)
            done.append(True)

    with pytest.raises(Interrupted):
        work()
    assert done == [True]
    assert signal.getsignal(signal.SIGTERM) is handlers


@pytest.mark.parametrize("again", [0.0, 0.002])
def test_a_signal_in_what_c_calls_waits_for_its_end(
    handlers: EndInOrder, monkeypatch: pytest.MonkeyPatch, again: float
) -> None:
    """However soon it is sent again, even while the handler is still at work."""
    monkeypatch.setattr(interrupts, "AGAIN", again)
    done = []

    class File(CalledFromC):
        def read(self) -> None:
            signal.raise_signal(signal.SIGTERM)
            done.append(True)

    def read_and_wait() -> None:
        File().read()
        for _ in range(500):  # one long sleep would not be woken by a signal of another thread
            time.sleep(0.01)

    with pytest.raises(Interrupted) as stopped:
        read_and_wait()
    assert done == [True]
    assert stopped.value.number == signal.SIGTERM


def test_what_is_under_way_ends_before_an_interruption_goes_on() -> None:
    begun, seen = threading.Event(), []

    def consume(item: int) -> None:
        begun.set()
        time.sleep(0.2)
        seen.append(item)

    behind = BackgroundWriter(consume, 4)
    behind.__enter__()
    behind.put(1)
    begun.wait()
    join = behind._thread.join

    def interrupted() -> None:
        behind._thread.join = join  # type: ignore[method-assign]
        raise KeyboardInterrupt

    behind._thread.join = interrupted  # type: ignore[assignment,method-assign]
    with pytest.raises(KeyboardInterrupt):
        behind.__exit__(None, None, None)
    assert seen == [1]
    assert not behind._thread.is_alive()


def test_ctrl_c_while_the_last_frames_are_flushed_keeps_them(
    tmp_path: Path, handlers: EndInOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = VideoWriter._encode

    def slow(self: VideoWriter, frame: object) -> None:
        encode(self, frame)  # type: ignore[arg-type]
        if frame is None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(VideoWriter, "_encode", slow)
    path = tmp_path / "out.mp4"

    def render() -> None:
        with VideoWriter(path, time_base=Fraction(1, 25)) as writer:
            writer.write(moving_picture(0), 0)

    with pytest.raises(Interrupted):
        render()
    assert (tmp_path / ".out.mp4.talkhead" / "000000000-000000001.segment").is_file()


def render(path: Path, wait: bool = False) -> None:
    with plain_errors(False, False), VideoWriter(path, time_base=Fraction(1, 25)) as writer:
        for number in range(writer.frames_done, 40):
            writer.write(moving_picture(number), number)
            if number == 20 and wait:
                print("ready", flush=True)
                time.sleep(60)


def wait_in_order(path: Path) -> None:
    sys.argv = ["render"]
    with ending_in_order():
        typer.run(lambda: render(path, wait=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_ending_signal_keeps_the_open_segment(tmp_path: Path, number: int) -> None:
    path = tmp_path / "out.mp4"
    told = tmp_path / "told"
    with copy(wait_in_order, path, told=told) as (process, stdout):
        os.read(stdout, 100)  # it is ready
        for _ in range(5):  # nobody presses it once
            os.kill(process.pid, number)
        process.join(300)
    assert process.exitcode == 128 + number
    assert told.read_text().splitlines()[-1] == "interrupted"
    assert "Traceback" not in told.read_text()
    assert "21 frames are kept" in told.read_text()
    told.unlink()
    render(path)
    assert len(frame_seconds(path)) == 40
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[a](http://b)", r"\[a\](http://b)"),
        ("a\n# b", r"a\\n# b"),
        ("_a_ id1_b", r"\_a\_ id1_b"),
        ("`*`", r"\`\*\`"),
    ],
)
def test_markdown_shows_names_as_they_are(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


def test_spreadsheets_take_no_name_for_a_formula() -> None:
    assert csv_text("=cmd|' /C calc'!A0").startswith("'=")
    assert [csv_text(text)[0] for text in ("+1", "-1", "@a")] == ["'"] * 3
    assert csv_text("anna-0") == "anna-0"
    assert printable("tab\tend\nbad\udcff\x9b") == "tab\tend\nbad\\udcff\\x9b"


def in_shell(command: str) -> int:
    """The exit code of `talkhead` with these words, some of which redirect streams."""
    words = f"exec {sys.executable} -m talkhead {command}"
    return subprocess.run(["sh", "-c", words], env=ENVIRONMENT, check=False).returncode


def test_streams_that_cannot_be_written_are_no_failure(
    toy_weights: Path, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2, size=(63, 49), pixel_format="yuv444p")
    output = tmp_path / "out.mp4"
    command = f"animate {portrait} {driving} -o {output} --weights {toy_weights} --device cpu"
    assert in_shell(f"{command} {' '.join(SQUARE)} --size 63 2>/dev/full") == 0
    assert len(frame_seconds(output)) == 2


SHORT = ["--identities", "1", "--clips", "1", "--seconds", "0.2", "--size", "64"]


def synth_without(streams: dict[int, str], *words: object) -> None:
    """As Python begins when these streams are closed."""
    for number, name in streams.items():
        os.close(number)
        setattr(sys, name, None)
    talkhead("synth", *words)


@pytest.mark.parametrize("streams", [{2: "stderr"}, {1: "stdout", 2: "stderr"}])
def test_files_that_take_the_numbers_of_closed_streams_stay_whole(
    tmp_path: Path, streams: dict[int, str]
) -> None:
    words = (*SHORT, "-o", tmp_path / "out")
    with copy(synth_without, streams, *words, told=tmp_path / "told") as (process, _):
        process.join(300)
    assert process.exitcode == 0
    (clip,) = tmp_path.rglob("*.mp4")
    assert len(frame_seconds(clip)) == 5


def test_a_program_that_begins_with_no_stream_at_all_writes_whole_files(tmp_path: Path) -> None:
    command = ["synth", *SHORT, "-o", str(tmp_path / "out"), "0<&- 1>&- 2>&-"]
    assert in_shell(" ".join(command)) == 0
    (clip,) = tmp_path.rglob("*.mp4")
    assert len(frame_seconds(clip)) == 5


def test_warnings_of_libraries_stay_off_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    with plain_errors(debug=False, quiet=False):
        warnings.warn("a library's", UserWarning, stacklevel=1)
        logging.getLogger("some.library").warning("a library's")
        logging.getLogger("talkhead.video").warning("ours")
    assert capfd.readouterr().err == "ours\n"


def synth_in_session(*words: object) -> None:
    os.setsid()
    talkhead("synth", *words)


def test_ctrl_c_ends_workers_that_draw_clips_without_a_word_of_theirs(tmp_path: Path) -> None:
    long = ["--size", "64", "--seconds", "60", "--workers", "2", "--identities", "2"]
    told = tmp_path / "told"
    with copy(synth_in_session, *long, "-o", tmp_path / "out", "-q", told=told) as (process, _):
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("out/*/.*.talkhead/*.partial")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
        process.join(300)
    assert process.exitcode == 130
    assert "Traceback" not in told.read_text()
    assert list(tmp_path.glob("out/*/.*.talkhead/*.partial")) == []

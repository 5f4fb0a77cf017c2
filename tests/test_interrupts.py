"""How programs end: signals, closed streams."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import typer
from copies import copy, talkhead
from media import frame_seconds, make_clip, moving_picture
from rendering import SQUARE

from talkhead import interrupts
from talkhead.animation.threads import BackgroundWriter
from talkhead.cli.console import plain_errors
from talkhead.interrupts import (
    ENDING,
    CalledFromC,
    EndInOrder,
    Interrupted,
    ending_in_order,
    held_off,
)
from talkhead.video import VideoWriter

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

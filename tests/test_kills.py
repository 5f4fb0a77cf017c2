"""Renders that are killed at random moments: the same command again ends like one left in peace.

Takes minutes, so it is not part of the usual run: `pytest -m slow -s tests/test_kills.py`. What is
killed is a small program that writes a driver's frames and sound, or, with TALKHEAD_KILL_ANIMATE=1,
`talkhead animate`, which takes ten times as long. TALKHEAD_KILLS says how often each render is
killed, TALKHEAD_SEED chooses other moments.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import make_clip

from talkhead.video import VideoReader

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc"),
]

KILLS = int(os.environ.get("TALKHEAD_KILLS", "2"))
SEED = int(os.environ.get("TALKHEAD_SEED", "0"))
ANIMATE = os.environ.get("TALKHEAD_KILL_ANIMATE") == "1"
FRAMES = 300
# Without loss, so that frames can be compared bit by bit: a lossy encoder that a signal stops
# begins anew with a key frame, which changes the values a little.
OUTPUTS = {
    "out.mp4": ["--crf", "0", "--encoder-preset", "ultrafast"],
    "out.mkv": ["--codec", "ffv1"],
    "out.gif": [],
    "frames": [],
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
PROGRAM = """
import time, typer
from pathlib import Path
from talkhead.cli.console import plain_errors
from talkhead.interrupts import ending_in_order
from talkhead.video import VideoReader, VideoWriter

def render(
    driving: Path, output: Path, crf: int = None, encoder_preset: str = None, codec: str = None
) -> None:
    with plain_errors(False, False), VideoReader(driving) as reader, VideoWriter(
        output, time_base=reader.info.time_base, rate=reader.info.rate, sound=driving,
        crf=crf, preset=encoder_preset, codec=codec, segment_frames=40,
    ) as writer:
        done = writer.frames_done
        for number, frame in enumerate(reader):
            if number >= done:
                writer.write(frame.rgb, frame.pts)
                time.sleep(0.005)  # as if it were drawn

with ending_in_order():
    typer.run(render)
"""


class Render:
    """One command, which can be killed and run again."""

    def __init__(self, weights: Path, portrait: Path, driving: Path, output: Path) -> None:
        self.output = output
        options = OUTPUTS[output.name]
        self._command = [sys.executable, "-c", PROGRAM, str(driving), str(output), *options]
        if ANIMATE:
            self._command = [
                *(sys.executable, "-m", "talkhead", "animate", str(portrait), str(driving)),
                *("-o", str(output), "--weights", str(weights), "--device", "cpu"),
                *("--crop-source", "none", "--crop-driving", "none", *options),
            ]
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "OMP_NUM_THREADS": "1",
        }

    def start(self) -> subprocess.Popen[str]:
        """Begin; returns once it listens to signals."""
        process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not _catches(process.pid, signal.SIGTERM):
            time.sleep(0.01)
        return process

    def run(self) -> float:
        """To the end; seconds."""
        process, began = self.start(), time.monotonic()
        _, told = process.communicate()
        assert process.returncode == 0, told
        return time.monotonic() - began

    def kill(self, number: signal.Signals, after: float) -> None:
        """Run for some seconds, then send a signal, and again while it ends."""
        with self.start() as process:
            time.sleep(after)
            for _ in range(3):
                process.send_signal(number)
                time.sleep(0.01)
            _, told = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL, 128 + number), told
        assert "Traceback" not in told


def _catches(process: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, or has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt")), "SigCgt: -1")
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def contents(path: Path) -> tuple[list[np.ndarray], list[Fraction], list[bytes]]:
    """Frames, their times, and the packets of sound."""
    with VideoReader(path) as reader:
        found = [(frame.rgb, frame.pts * reader.info.time_base) for frame in reader]
    sound = []
    if path.is_file():
        with av.open(str(path)) as container:
            sound = [bytes(packet) for packet in container.demux() if packet.stream.type == "audio"]
    return [rgb for rgb, _ in found], [seconds for _, seconds in found], sound


def left(folder: Path) -> str:
    """What a killed render left, in words."""
    segments = sorted(path.name for path in folder.glob(".*/*.segment"))
    return f"kept {segments[-1]}" if segments else "nothing was done yet"


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_killed_render_ends_like_one_left_in_peace(
    name: str, toy_weights: Path, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=FRAMES, size=(64, 64))
    (tmp_path / "straight").mkdir()
    straight = Render(toy_weights, portrait, driving, tmp_path / "straight" / name)
    seconds = straight.run()
    wanted = contents(straight.output)
    assert len(wanted[0]) == FRAMES
    moments = random.Random(f"{SEED} {name}")
    for number in SIGNALS:
        folder = tmp_path / number.name
        folder.mkdir()
        render = Render(toy_weights, portrait, driving, folder / name)
        for _ in range(KILLS):
            after = moments.uniform(0, 0.8 * seconds)
            render.kill(number, after)
            came = "it had finished" if render.output.exists() else left(folder)
            print(f"{name}: {number.name} after {after:.2f} of {seconds:.2f} s: {came}", flush=True)
            if render.output.exists():
                break
        if not render.output.exists():
            render.run()
            assert [path.name for path in folder.iterdir()] == [name]
        frames, times, sound = contents(render.output)
        assert times == wanted[1]
        assert sound == wanted[2]
        assert all(np.array_equal(*pair) for pair in zip(frames, wanted[0], strict=True))

"""Renders that are killed at random moments: the same command again ends like one left in peace.

Takes about ten minutes, so it is not part of the usual run: `pytest -m slow tests/test_kills.py`.
TALKHEAD_KILLS says how often each render is killed, TALKHEAD_SEED chooses other moments.
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

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("TALKHEAD_KILLS", "2"))
SEED = int(os.environ.get("TALKHEAD_SEED", "0"))
FRAMES = 600  # two segments and a part of one
EARLIEST = 1.0  # seconds, by when Python has begun to run the program
# Without loss, so that frames can be compared bit by bit: a lossy encoder that is interrupted by a
# signal begins anew with a key frame, which changes the values a little.
OUTPUTS = {
    "out.mp4": ["--crf", "0", "--encoder-preset", "ultrafast"],
    "out.mkv": ["--codec", "ffv1"],
    "out.gif": [],
    "frames": [],
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Render:
    """One command, which can be killed and run again."""

    def __init__(self, weights: Path, portrait: Path, driving: Path, output: Path) -> None:
        self.output = output
        self._command = [
            *(sys.executable, "-m", "talkhead", "animate", str(portrait), str(driving)),
            *("-o", str(output), "--weights", str(weights), "--device", "cpu"),
            *("--crop-source", "none", "--crop-driving", "none", *OUTPUTS[output.name]),
        ]
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "OMP_NUM_THREADS": "1",
        }

    def run(self) -> float:
        """To the end; seconds."""
        began = time.monotonic()
        ended = subprocess.run(
            self._command, env=self._environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return time.monotonic() - began

    def kill(self, number: signal.Signals, after: float) -> None:
        """Run for some seconds, then send a signal, and again while it ends."""
        with subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            time.sleep(after)
            for _ in range(3):
                process.send_signal(number)
                time.sleep(0.01)
            _, told = process.communicate(timeout=120)
        assert process.returncode in (0, -signal.SIGKILL, 128 + number), told
        assert "Traceback" not in told


def contents(path: Path) -> tuple[list[np.ndarray], list[Fraction], list[bytes]]:
    """Frames, their times, and the packets of sound."""
    with VideoReader(path) as reader:
        found = [(frame.rgb, frame.pts * reader.info.time_base) for frame in reader]
    sound = []
    if path.is_file():
        with av.open(str(path)) as container:
            sound = [bytes(packet) for packet in container.demux() if packet.stream.type == "audio"]
    return [rgb for rgb, _ in found], [seconds for _, seconds in found], sound


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
            after = moments.uniform(EARLIEST, max(seconds, EARLIEST))
            render.kill(number, after)
            done = (
                "finished"
                if render.output.exists()
                else "kept " + ", ".join(sorted(path.name for path in folder.glob(".*/*.segment")))
            )
            print(f"{name}: {number.name} after {after:.2f} of {seconds:.2f} s; {done}", flush=True)
            if render.output.exists():
                break
        if not render.output.exists():
            render.run()
            assert [path.name for path in folder.iterdir()] == [name]
        frames, times, sound = contents(render.output)
        assert times == wanted[1]
        assert sound == wanted[2]
        assert all(np.array_equal(*pair) for pair in zip(frames, wanted[0], strict=True))

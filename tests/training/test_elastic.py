"""Two groups of processes, as on two machines, train one model with the documentation's command.

Takes up to minutes: `pytest -m slow tests/training/test_elastic.py`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
LINUX = Path("/proc/self/task").exists()
STEPS, KILLED = 12, 5  # KILLED: the step after which a process is killed

# Python runs this before the command: a preset that two cores learn quickly.
TOY = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}]
if "train" in sys.argv:
    from talkhead import config
    import torch
    from toys import CODEBOOK
    torch.set_num_threads(1)
    config.PRESETS["toy"] = CODEBOOK
"""


def documented_command() -> list[str]:
    """What docs/training.md says for several machines."""
    text = (ROOT / "docs" / "training.md").read_text()
    (line,) = re.findall(r"^torchrun --nnodes .*$", text, re.MULTILINE)
    return shlex.split(line)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Machines:
    """Two runs of the documentation's command, at toy size, one process each."""

    def __init__(self, clips: Path, out: Path, folder: Path) -> None:
        (folder / "sitecustomize.py").write_text(TOY)
        changes = {
            "--nproc-per-node": "1",
            "--rdzv-endpoint": f"127.0.0.1:{free_port()}",
            "--data": str(clips),
            "--preset": "toy",
            "--output": str(out),
            "-o": str(out),
            "--save-minutes": "0",  # after every step
        }
        command = documented_command()
        for name, value in changes.items():
            if name in command:
                command[command.index(name) + 1] = value
        command[:1] = [sys.executable, "-m", "torch.distributed.run"]
        command += ["--steps", str(STEPS), "--batch-size", "2", "--device", "cpu", "--quiet"]
        command += ["--workers", "1", "--perceptual", "none", "--report-steps", "1"]
        paths = os.pathsep.join(map(str, (folder, ROOT)))
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        self.agents = [subprocess.Popen(command, env=environment) for _ in range(2)]

    def workers(self) -> list[int]:
        """The training processes, which the agents have started."""
        listed = [Path(f"/proc/{a.pid}/task/{a.pid}/children").read_text() for a in self.agents]
        return [int(pid) for each in listed for pid in each.split()]

    def end(self) -> list[int]:
        """Exit codes of the agents, waited for."""
        return [agent.wait(600) for agent in self.agents]

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self.agents:
            agent.terminate()


def lines(run: Path) -> list[str]:
    path = run / "losses.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def rows(run: Path) -> dict[int, dict[str, float]]:
    """Losses by step, without the seconds."""
    found = [json.loads(line) for line in lines(run)]
    return {row["step"]: {k: v for k, v in row.items() if k != "seconds"} for row in found}


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="needs Linux's /proc")
def test_a_run_whose_process_is_killed_goes_on_as_if_it_was_not(
    clips: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with Machines(clips, whole, tmp_path) as machines:
        assert machines.end() == [0, 0]
    with Machines(clips, killed, tmp_path) as machines:
        until = time.monotonic() + 600
        while KILLED not in rows(killed):
            assert time.monotonic() < until, "no losses were reported"
            time.sleep(0.05)
        before = lines(killed)
        os.kill(machines.workers()[-1], signal.SIGKILL)
        assert machines.end() == [0, 0]
    one, two = (torch.load(run / "state.pt", weights_only=True) for run in (whole, killed))
    assert two["step"] == STEPS
    torch.testing.assert_close(two["model"], one["model"], rtol=0, atol=0)
    torch.testing.assert_close(two["optimizer"], one["optimizer"], rtol=0, atol=0)
    assert rows(killed) == rows(whole)
    kept = KILLED - 1  # the last step's checkpoint may not have been written yet
    assert lines(killed)[:kept] == before[:kept]  # their seconds tell: it did not begin again

"""A batch on a Ray cluster of this machine: the same files, whatever happens to its workers.

Starting Ray takes seconds: `pytest -m slow tests/batch/test_ray.py`, where Ray is installed.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from media import make_clip

from talkhead.batch import cluster
from talkhead.batch.jobs import read_jobs
from talkhead.batch.options import BatchOptions
from talkhead.batch.plan import Plan, Task, after_loss
from talkhead.batch.results import TABLE, Result, Results, stamp, write_note
from talkhead.errors import TalkheadError

ROOT = Path(__file__).parents[2]
KILLS = 5


def write_table(folder: Path, portrait: Path, sources: int, frames: tuple[int, ...]) -> Path:
    """Every source with a driver of every length."""
    with (folder / "jobs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "driving", "crop-source", "crop-driving", "size"])
        for count in frames:
            make_clip(folder / f"d{count}.mp4", frames=count)
            for number in range(sources):
                source = folder / f"s{number}.png"
                source.write_bytes(portrait.read_bytes())
                writer.writerow([source.name, f"d{count}.mp4", "none", "none", 64])
    return folder / "jobs.csv"


def planned(folder: Path, jobs: Path, weights: Path) -> tuple[Results, list[Result | Task]]:
    results = Results(folder / "results")
    options = BatchOptions(weights=weights, device="cpu")
    plan = Plan(results, options, overwrite=False, retry=False, table=jobs)
    return results, plan(read_jobs(jobs, weights))


def test_a_row_whose_worker_is_lost_is_done_if_it_noted_so_and_else_runs_again(
    portrait: Path, tmp_path: Path, toy_weights: Path
) -> None:
    jobs = write_table(tmp_path, portrait, 1, (2,))
    results, (task,) = planned(tmp_path, jobs, toy_weights)
    assert isinstance(task, Task)
    with results:
        assert after_loss(task, results) is task  # it had not begun
        output = results.folder / task.job.output
        write_note(results.folder, replace(task.waiting, status="begun"))
        assert after_loss(task, results) == task
        output.write_bytes(b"made")
        assert after_loss(task, results) == replace(task, overwrite=True)
        done = replace(task.waiting, status="done", stamp=stamp(output))
        write_note(results.folder, done)
        assert after_loss(task, results) == done
        failed = replace(task.waiting, status="failed", error="no face")
        write_note(results.folder, failed)
        assert after_loss(task, results) == failed


def test_a_gpu_is_a_worker_and_without_any_a_machine_is() -> None:
    def found(*nodes: dict[str, float], **options: Any) -> tuple[int, dict[str, float], str]:
        listed = [{"Alive": True, "Resources": node} for node in nodes]
        gone = {"Alive": False, "Resources": {"GPU": 8}}
        ray = SimpleNamespace(nodes=lambda: [*listed, gone])
        return cluster.resources(ray, BatchOptions(engine="ray", **options))

    gpus = {"CPU": 16.0, "GPU": 4.0}
    assert found(gpus, gpus) == (8, {"num_gpus": 1.0, "num_cpus": 1}, "cuda")
    assert found(gpus, workers=8)[:2] == (8, {"num_gpus": 0.5, "num_cpus": 1})
    assert found(gpus, {"CPU": 8.0}, device="cpu") == (2, {"num_cpus": 8}, "cpu")
    assert found({"CPU": 2.0}, workers=4)[:2] == (4, {"num_cpus": 0.5})
    with pytest.raises(TalkheadError, match="Ray deals out the GPUs"):
        found(gpus, device="cuda:1")
    with pytest.raises(TalkheadError, match="the cluster has no GPU"):
        found({"CPU": 2.0}, device="cuda")


def test_ray_that_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(TalkheadError, match="pip install"),
        cluster.cluster(BatchOptions(engine="ray")),
    ):
        pass


def test_a_cluster_that_is_not_there_is_one_sentence() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
    for address, words in ((closed, "no Ray cluster answers"), ("here", "no address of a Ray")):
        with (
            pytest.raises(TalkheadError, match=words),
            cluster.cluster(BatchOptions(engine="ray", address=address)),
        ):
            pass


def workers(pid: int) -> list[int]:
    """The processes that render, among the descendants of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found: list[int] = []
    for child in children.read_text().split() if children.exists() else []:
        line = Path(f"/proc/{child}/cmdline")
        if line.exists() and line.read_bytes().startswith(b"ray::Worker.do"):
            found.append(int(child))
        found += workers(int(child))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_workers_that_are_killed_lose_and_double_nothing(
    portrait: Path, tmp_path: Path, toy_weights: Path
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    jobs = write_table(tmp_path, portrait, 6, (40, 60, 80))
    command = [sys.executable, "-m", "talkhead", "batch", str(jobs), "--device", "cpu"]
    command += ["--weights", str(toy_weights), "-q", "-o"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    alone, torn = tmp_path / "alone", tmp_path / "torn"
    subprocess.run([*command, str(alone)], env=environment, check=True)
    more = ["--engine", "ray", "--workers", "2"]
    ray = subprocess.Popen([*command, str(torn), *more], env=environment)
    moments, kills = random.Random(0), 0
    while ray.poll() is None:
        time.sleep(moments.uniform(0.2, 1.0))
        if kills < KILLS and (running := workers(ray.pid)):
            os.kill(moments.choice(running), signal.SIGKILL)
            kills += 1
    assert (ray.returncode, kills) == (0, KILLS)
    assert {path.name for path in torn.iterdir()} == {path.name for path in alone.iterdir()}
    for path in alone.glob("*.mp4"):
        assert (torn / path.name).read_bytes() == path.read_bytes(), path.name
    rows = [json.loads(line) for line in (torn / TABLE).read_text().splitlines()]
    assert Counter(row["row"] for row in rows) == Counter(range(1, 19))
    assert {row["status"] for row in rows} == {"done"}

"""Three hundred damaged files of every kind: read, or refused in one sentence.

Not in the quick suite: `pytest -m fuzz tests/fuzz`. What a file of a kind is and how it is damaged
stands in `kinds`; one kind, or one file again: see `fuzz`.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import fuzz
from guard import SYSCALLS

COUNT, SECONDS = 300, 900.0
KINDS = ("images", "videos", "weights", "motion", "checkpoints", "landmarks")
FORBIDDEN = "from guard import forbid_programs_and_sockets as forbid; forbid(); "

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() not in SYSCALLS,
        reason="what a process may do is watched by means of Linux",
    ),
]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused_in_one_sentence(kind: str) -> None:
    tally = fuzz(kind, COUNT, SECONDS)
    print(tally)
    assert not tally.faults, str(tally)
    assert tally.tried == COUNT, f"only {tally.tried} were tried in {SECONDS} s"


@pytest.mark.parametrize(
    "act", ["import socket; socket.socket()", "import os; os.execv('/bin/true', ['true'])"]
)
def test_a_program_or_a_socket_ends_the_process(act: str) -> None:
    command = [sys.executable, "-c", FORBIDDEN + act]
    done = subprocess.run(command, cwd=Path(__file__).parent, check=False)
    assert done.returncode < 0

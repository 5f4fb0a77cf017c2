"""Damage valid files and read them: each must be read, or refused in one sentence.

    python tests/fuzz/fuzz.py KIND --count 300 --seconds 600 [--first N] [--keep FOLDER]

A process of its own reads them, in which the kernel forbids programs and sockets and bounds memory.
One that hangs or dies is noted, and the next file gets a new process. Mutant N of a kind is always
the same: `--first N --count 1` brings it back.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).parent
SLOWEST = 30.0  # seconds for one file; beyond, it hangs
STARTING = 120.0  # seconds for imports and a look at the valid files
MEMORY = 1024  # megabytes that one file may take beyond what the process holds
ADDRESSES = 6 * 1024  # megabytes of address space beyond that of the start
LONGEST = 800  # characters of a sentence
ADVICE = ("weights_only", "allow_pickle", "add_safe_globals", "Traceback")


@dataclass
class Tally:
    """What became of the mutants of a kind. faults: (number, what happened)."""

    kind: str
    read: int = 0
    refused: int = 0
    peak: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    faults: list[tuple[int, str]] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.read + self.refused + len(self.faults)

    def add(self, told: dict[str, Any]) -> None:
        self.peak = max(self.peak, told.get("peak", 0))
        self.slowest = max(self.slowest, told.get("seconds", 0.0))
        if told["outcome"] == "fault":
            self.faults.append((told["number"], told["detail"]))
        elif told["outcome"] == "read":
            self.read += 1
        else:
            self.refused += 1

    def __str__(self) -> str:
        lines = [
            f"{self.kind}: {self.tried} tried, {self.read} read, {self.refused} refused in a "
            f"sentence, {len(self.faults)} faults; {self.seconds:.0f} s, the slowest "
            f"{self.slowest:.1f} s, at most {self.peak} MB more"
        ]
        for what, count in Counter(detail.split("\n")[0] for _, detail in self.faults).items():
            numbers = [n for n, detail in self.faults if detail.split("\n")[0] == what]
            lines.append(f"  {count} x {what} (mutants {', '.join(map(str, numbers[:8]))})")
        return "\n".join(lines)


def fuzz(kind: str, count: int, seconds: float, first: int = 0, keep: Path | None = None) -> Tally:
    """Try mutants of a kind until `count` are tried or the time is over."""
    tally, started = Tally(kind), time.monotonic()
    number, last = first, first + count
    while number < last and (left := seconds - (time.monotonic() - started)) > 0:
        number = _run_child(tally, number, last, left, keep)
    tally.seconds = time.monotonic() - started
    return tally


def _run_child(tally: Tally, first: int, last: int, seconds: float, keep: Path | None) -> int:
    """One process, until it is done, hangs or dies; the number to go on with."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as scratch:
        command = [sys.executable, str(Path(__file__)), tally.kind, "--child", scratch]
        command += ["--first", str(first), "--count", str(last - first)]
        command += ["--keep", str(keep)] if keep else []
        paths = [str(HERE.parent), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        complaints = Path(scratch) / "stderr"
        with complaints.open("w") as errors:
            child = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, env=environment
            )
        deadline, number, begun = time.monotonic() + seconds, first, False
        try:
            for told in _lines(child, lambda: SLOWEST if begun else STARTING):
                begun = True
                if told is None:
                    tally.add(_fault(number, f"hangs for more than {SLOWEST:.0f} s"))
                    return number + 1
                if "outcome" in told:
                    tally.add(told)
                    number = told["number"] + 1
                if time.monotonic() > deadline:
                    return last
        finally:
            child.kill()
            code = child.wait()
        if number < last:
            tail = complaints.read_text(errors="replace").strip().splitlines()[-1:]
            tally.add(_fault(number, f"the process ended ({code}) {' '.join(tail)}"))
            return number + 1 if begun else last
        return last


def _lines(child: subprocess.Popen[bytes], patience: Any) -> Iterator[dict[str, Any] | None]:
    """What the child tells, line by line; None when it says nothing for too long."""
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(patience()):
                yield None
                return
            found = child.stdout.read()
            if not found:
                return
            *lines, rest = (rest + found).split(b"\n")
            yield from (json.loads(line) for line in lines)


def _fault(number: int, detail: str) -> dict[str, Any]:
    return {"number": number, "outcome": "fault", "detail": detail}


def read_mutants(name: str, first: int, count: int, scratch: Path, keep: Path | None) -> None:
    """The child: make, damage and read; a line of JSON before and after each."""
    from guard import forbid_programs_and_sockets, limit_memory
    from kinds import KINDS

    kind = KINDS[name]
    seeds = kind.make(scratch)
    for seed in seeds:
        kind.read(seed, scratch)  # a valid file is read; and all libraries are loaded
    programs: list[str] = []
    sys.addaudithook(
        lambda event, _: (
            programs.append(event) if event in ("subprocess.Popen", "os.system") else None
        )
    )
    forbid_programs_and_sockets()
    limit_memory(ADDRESSES)
    for number in range(first, first + count):
        random = Random(f"{name} {number}")
        seed = random.choice(seeds)
        path = (keep or scratch) / f"mutant-{number}{''.join(seed.suffixes)}"
        path.write_bytes(kind.mutate(seed, random))
        print(json.dumps({"begins": number}), flush=True)
        told = _read_one(kind, path, scratch)
        if programs:
            told = _fault(number, f"started a program ({programs.pop()})")
        print(json.dumps({"number": number} | told), flush=True)
        if keep is None:
            path.unlink(missing_ok=True)


def _read_one(kind: Any, path: Path, scratch: Path) -> dict[str, Any]:
    from guard import forget_peak, peak

    from talkhead.errors import TalkheadError

    held, started = forget_peak(), time.monotonic()
    outcome, detail = "read", ""
    try:
        kind.read(path, scratch)
    except TalkheadError as error:
        outcome, detail = judge(str(error))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        outcome = "fault"
        detail = f"{type(error).__name__} in {place.name}: {str(error).splitlines()[:1]}"
        detail = f"{detail[:200]}\n{traceback.format_exc()}"
    told = {"seconds": round(time.monotonic() - started, 2), "peak": peak() - held}
    if told["peak"] > MEMORY:
        outcome, detail = "fault", f"took {told['peak']} MB ({detail.splitlines()[:1]})"
    return told | {"outcome": outcome, "detail": detail}


def judge(sentence: str) -> tuple[str, str]:
    """Whether it is one sentence, which a terminal can show and which gives no bad advice."""
    if "\n" in sentence or not sentence.isprintable():
        return "fault", f"not one line: {sentence[:150]!r}"
    if len(sentence) > LONGEST:
        return "fault", f"a sentence of {len(sentence)} characters: {sentence[:150]}"
    if wrong := [word for word in ADVICE if word in sentence]:
        return "fault", f"repeats {wrong[0]}: {sentence[:150]}"
    return "refused", sentence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--keep", type=Path, help="a folder in which the mutants stay")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    if given.child:
        read_mutants(given.kind, given.first, given.count, given.child, given.keep)
        return
    tally = fuzz(given.kind, given.count, given.seconds, given.first, given.keep)
    print(tally)
    for number, detail in tally.faults[:3]:
        print(f"\nmutant {number}: {detail}")
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()

"""What an import linter cannot say: one door for each outside thing, and true documents."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "talkhead"
FILES = sorted(PACKAGE.rglob("*.py"))

# Outside module -> the files or folders that may import it.
DOORS = {
    "av": ["video/"],
    "typer": ["cli/"],
    # detectors; landmarks for AKD
    "face_alignment": ["faces/alignment.py", "evaluation/metrics/backends.py"],
    "ray": ["batch/cluster.py"],
    "PIL": ["io/image.py", "io/srgb.py"],
}


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize(("module", "allowed"), DOORS.items())
def test_outside_module_has_one_door(module: str, allowed: list[str]) -> None:
    users = [
        name_of(path)
        for path in FILES
        if any(each == module or each.startswith(f"{module}.") for each in imports(path))
    ]
    strangers = [user for user in users if not any(user.startswith(door) for door in allowed)]
    assert strangers == []


def test_the_walks_of_the_documentation_name_modules_that_are_there() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    walks = text.partition("## Three walks")[2].partition("## The contract")[0].split("### ")[1:]
    assert len(walks) == 3
    for walk in walks:
        modules = re.findall(r"^\d\. `([^`]+)`", walk, re.MULTILINE)
        assert 0 < len(modules) <= 8
        assert [module for module in modules if not (PACKAGE / module).is_file()] == []


def test_every_room_is_documented() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    rooms = {path.stem for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    rooms |= {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert [room for room in sorted(rooms) if f"`{room}`" not in text] == []


@pytest.mark.parametrize(
    ("call", "home"),
    [
        # Faces have MediaPipe's convention: pixels are areas.
        ("F.grid_sample", ["models/grid.py", "faces/mesh.py", "faces/crop_mesh.py"]),
        ("torch.load(", ["io/torch_file.py"]),
    ],
)
def test_delicate_call_has_one_home(call: str, home: list[str]) -> None:
    users = [name_of(path) for path in FILES if call in path.read_text()]
    assert [user for user in users if not any(user.startswith(each) for each in home)] == []


# One fresh process imports more and more; what came with every step is looked at by a test.
STEPS = {
    "help and version": "import talkhead.cli",
    "video": "import talkhead.video",
    "tracking": "import talkhead.faces.tracker",
    "synthetic heads": "import talkhead.synthetic.synth",
    "pictures": "import talkhead.io.image",
    "rendering": "import talkhead.animation.animator, talkhead.animation.live",
    "building": (
        "import torch; from talkhead.config import PRESETS; from talkhead.models import build\n"
        "with torch.device('meta'): [build(PRESETS[n]) for n in ('codebook-lite', *FAMILIES)]"
    ),
    "the studio": (
        "import contextlib\nwith contextlib.suppress(ImportError): import talkhead.studio.server"
    ),
}
STEP_BY_STEP = """
import json, sys
FAMILIES = ("mcnet", "fomm", "tpsmm")
steps, found, reached = json.loads(sys.argv[1]), {}, []
calls = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
sys.addaudithook(lambda event, given: event in calls and reached.append(f"{event} {given}"))
for name, code in steps.items():
    before = set(sys.modules)
    exec(code)
    found[name] = sorted({each.partition(".")[0] for each in set(sys.modules) - before})
import talkhead
talkhead.BatchOptions, talkhead.BenchmarkOptions
found["hidden"] = [n for n in ("batch", "benchmark") if not callable(getattr(talkhead, n))]
print(json.dumps(found | {"reached": reached}))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """Packages that each of the `STEPS` imports beyond those before it.

    "hidden" are names, "reached" are addresses and names of machines that were asked for.
    """
    command = [sys.executable, "-c", STEP_BY_STEP, json.dumps(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: set(packages) for name, packages in json.loads(done.stdout).items()}


def test_help_and_version_do_not_import_torch(imported: dict[str, set[str]]) -> None:
    assert not imported["help and version"] & {"torch", "av"}


@pytest.mark.parametrize("step", ["video", "tracking", "synthetic heads", "pictures"])
def test_rooms_without_networks_do_not_import_torch(
    step: str, imported: dict[str, set[str]]
) -> None:
    assert "torch" not in imported[step]


def test_rendering_needs_no_library_of_other_commands_or_detectors(
    imported: dict[str, set[str]],
) -> None:
    others = {"face_alignment", "skimage", "scipy", "numba", "lpips", "mediapipe"}
    assert "torch" in imported["rendering"]
    assert not others & set().union(*imported.values())


def test_building_on_meta_does_not_wake_the_compiler(imported: dict[str, set[str]]) -> None:
    assert "sympy" not in imported["rendering"] | imported["building"]


def test_public_functions_are_not_hidden_by_rooms_of_their_names(
    imported: dict[str, set[str]],
) -> None:
    assert imported["hidden"] == set()


def test_nobody_is_called_by_what_is_imported(imported: dict[str, set[str]]) -> None:
    assert imported["reached"] == set()

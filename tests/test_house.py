"""What an import linter cannot say: one door for each outside thing, and true documents."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
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


def test_help_and_version_do_not_import_torch() -> None:
    check = "import sys, talkhead.cli; sys.exit('torch' in sys.modules or 'av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("room", ["video", "faces.tracker", "synthetic.synth", "io.image"])
def test_rooms_without_networks_do_not_import_torch(room: str) -> None:
    check = f"import sys, talkhead.{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_rendering_needs_no_library_of_other_commands_or_detectors() -> None:
    others = {"face_alignment", "skimage", "scipy", "numba", "lpips", "mediapipe"}
    check = "import sys, talkhead.animation.animator, talkhead.animation.live; "
    check += f"sys.exit(bool({others} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_public_functions_are_not_hidden_by_rooms_of_their_names() -> None:
    check = "import sys, talkhead as t; t.BatchOptions, t.BenchmarkOptions; "
    check += "sys.exit(not (callable(t.batch) and callable(t.benchmark)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0

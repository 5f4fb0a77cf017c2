"""The arrows of the design: who may import whom, and one door for each outside thing."""

from __future__ import annotations

import ast
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
    "face_alignment": ["faces/face.py", "evaluation/metrics/backends.py"],  # AKD needs landmarks
    "PIL": ["io/image.py", "io/srgb.py"],
}
# Room -> rooms that it must never import.
WALLS = {
    "models/": ["video", "faces", "motion", "animation", "training", "checkpoint", "inference"],
    "motion/": ["models", "video", "faces"],
    "video/": ["models", "faces", "animation", "training", "synthetic", "inference", "checkpoint"],
    "faces/": ["models", "video", "training", "inference"],
    "structs.py": ["models", "config"],
    "training/": ["animation", "inference", "cli", "synthetic"],
    "synthetic/": ["models", "training", "inference", "checkpoint", "animation", "cli"],
    "animation/": ["training", "cli"],
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


@pytest.mark.parametrize(("room", "forbidden"), WALLS.items())
def test_room_does_not_know_the_rooms_above(room: str, forbidden: list[str]) -> None:
    for path in FILES:
        if name_of(path).startswith(room):
            for module in imports(path):
                for above in forbidden:
                    above = f"talkhead.{above}"
                    assert module != above, f"{name_of(path)} imports {module}"
                    assert not module.startswith(f"{above}."), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize(
    ("call", "home"),
    [("F.grid_sample", ["models/grid.py"]), ("torch.load(", ["io/torch_file.py"])],
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

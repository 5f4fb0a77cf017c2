"""Clips that all tests of scores read."""

from __future__ import annotations

from pathlib import Path

import pytest
from scoring import picture_clip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two people, as frame folders of 5 and 3 frames."""
    picture_clip(tmp_path / "data" / "anna-0", 0, 5)
    picture_clip(tmp_path / "data" / "bert-0", 40, 3)
    return tmp_path / "data"

"""How long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

Progress = Callable[[str, int, int | None], None]  # stage, items done, items expected (or None)
Preparing = Callable[[], AbstractContextManager[Progress | None]]  # shows progress while entered

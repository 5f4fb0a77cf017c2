"""Write safetensors files."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from talkhead.io.atomic import atomic_path


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, readable by all who may read a new file here.

    Raises OSError or SafetensorError.
    """
    with atomic_path(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode  # the library would hide the file from others
        save_file(tensors, partial, metadata=metadata)
        partial.chmod(mode)

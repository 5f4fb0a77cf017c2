"""Share an evaluation between processes: one per GPU or core under torchrun.

Each process scores its share into the same folder; whichever finds everything done reports.
"""

from __future__ import annotations

import os

import torch


def shard() -> tuple[int, int]:
    """This process's number and how many there are, as torchrun says."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def own_device(name: str) -> str:
    """The device for `--device NAME`: under torchrun each process of a machine takes a GPU."""
    if shard()[1] == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"

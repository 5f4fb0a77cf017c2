"""Device and precision."""

from __future__ import annotations

import torch

from talkhead.errors import TalkheadError

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """A device by name: auto (the first CUDA device, then Apple's, then the CPU), cpu, cuda:1, mps.

    Raises TalkheadError for a device that this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TalkheadError(f"no device {name!r}; use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            have = f"{count} CUDA device{'s' * (count != 1)}" if count else "no CUDA device"
            raise TalkheadError(f"cannot use {name}: this machine has {have}; try --device cpu")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise TalkheadError("cannot use mps: it needs macOS on Apple silicon; try --device cpu")
    elif device.type not in ("cpu", "mps"):
        raise TalkheadError(f"cannot use {name}; use auto, cpu, cuda, cuda:N or mps")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """A precision by name: fp32, fp16 or bf16.

    Raises TalkheadError where the device cannot compute in it.
    """
    if name not in PRECISIONS:
        raise TalkheadError(f"no precision {name!r}; use {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type == "cpu":
        raise TalkheadError("half precision (--fp16) needs a GPU; on a CPU use --bf16 or neither")
    return PRECISIONS[name]

"""The machine: names, memory and matrix throughput."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.benchmark.timing import Effort, measure

MEGA = 1e6


@dataclass(frozen=True)
class Machine:
    """What a result depends on besides the code.

    cores: that this process may use; threads: that torch uses. instructions: the widest vector
    unit that torch found.
    """

    device: str
    processor: str
    cores: int
    threads: int
    instructions: str
    system: str
    python: str
    torch_version: str

    @classmethod
    def here(cls, device: torch.device) -> Machine:
        """What this process runs on; `device` is where the model does."""
        processor = processor_name()
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
        return cls(
            device=name,
            processor=processor,
            cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
            threads=torch.get_num_threads(),
            instructions=torch.backends.cpu.get_cpu_capability(),
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            torch_version=torch.__version__,
        )


def processor_name() -> str:
    """As the system calls it."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def waiter(device: torch.device) -> Callable[[], None]:
    """A call that returns once the device has done what it was given."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device.type == "mps" else lambda: None


class PeakMemory:
    """The most memory that was held since it was made, of the process and of its CUDA device.

    Where the system cannot forget an earlier peak (elsewhere than on Linux), it is the process's
    peak since its start.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        if self._cuda is not None:
            torch.cuda.reset_peak_memory_stats(self._cuda)
        if sys.platform == "linux":
            # What is freed stays with the process (see `cli.malloc`), and would count again.
            with contextlib.suppress(AttributeError):  # other C libraries have none
                ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # "forget the peak", see proc(5)

    @property
    def process(self) -> float | None:
        """MB; None where the system does not say."""
        status = Path("/proc/self/status")
        if status.is_file():
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / MEGA
        if sys.platform == "win32":
            return None
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGA

    @property
    def device(self) -> float | None:
        """MB of tensors on the CUDA device; None elsewhere."""
        return None if self._cuda is None else torch.cuda.max_memory_allocated(self._cuda) / MEGA


PEAK_SIDES = {"cuda": (4096, 8192), "cpu": (512, 1024, 2048)}
PEAK_MAP = 64  # pixels a side


def matrix_peak(device: torch.device, precision: torch.dtype, effort: Effort) -> float:
    """The most multiply-adds per second that this device reaches: the yardstick.

    The best single one of square matrix products and of 3 x 3 convolutions with a quarter as many
    channels, since a peak is what the device can do at its best, and on CPUs other libraries
    compute the two (at half the speed for products on AMD's).
    """
    sides = PEAK_SIDES.get(device.type, PEAK_SIDES["cpu"])
    work = [of(side, device, precision) for side in sides for of in (_product, _convolution)]
    with torch.inference_mode():
        return max(macs / min(measure(run, waiter(device), effort)) for macs, run in work)


Work = tuple[int, Callable[[], Tensor]]  # multiply-adds, and what does them


def _product(side: int, device: torch.device, precision: torch.dtype) -> Work:
    left, right = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
    return side**3, lambda: left @ right


def _convolution(side: int, device: torch.device, precision: torch.dtype) -> Work:
    channels = side // 4
    x, weight = (
        torch.randn(shape, device=device).to(precision, memory_format=torch.channels_last)
        for shape in ((1, channels, PEAK_MAP, PEAK_MAP), (channels, channels, 3, 3))
    )
    return 9 * channels**2 * PEAK_MAP**2, lambda: F.conv2d(x, weight, padding=1)

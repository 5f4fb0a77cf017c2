"""Memory allocation: keep freed memory in the process."""

from __future__ import annotations

import ctypes
import sys

# glibc's names for its settings, see mallopt(3).
TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Keep freed memory for what comes next instead of giving it back; false where unknown.

    Feature maps and frames are so large that glibc asks the system anew for each, which then clears
    every page: 20 000 to 40 000 page faults per frame of the default model, about a sixth of its
    time on a CPU. For the process that owns the work to decide: it holds on to its peak of memory.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return mallopt is not None and bool(mallopt(TRIM_THRESHOLD, 2**31 - 1) and mallopt(MMAP_MAX, 0))

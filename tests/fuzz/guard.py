"""What a reader of hostile files must not do, watched from inside its process (Linux).

No program is started and no socket made: the kernel kills a process that tries (seccomp), whatever
library it is in. Memory is bounded, and its peak is measured for each file.
"""

from __future__ import annotations

import ctypes
import platform
import resource
import struct
from pathlib import Path

SYSCALLS = {  # socket, execve, execveat, seccomp
    "x86_64": (41, 59, 322, 317),
    "aarch64": (198, 221, 281, 277),
}
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06  # classic BPF: load word, jump if equal, return
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
NO_NEW_PRIVILEGES = 38
MEGABYTE = 1 << 20


def forbid_programs_and_sockets() -> None:
    """From now on the kernel ends this process if any of its threads tries."""
    socket, execve, execveat, seccomp = SYSCALLS[platform.machine()]
    forbidden = (socket, execve, execveat)
    steps = [(LOAD, 0, 0, 0)]  # the number of the system call
    for place, number in enumerate(forbidden):
        steps.append((EQUALS, len(forbidden) - place, 0, number))
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, KILL_PROCESS)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    filter_all_threads = (1, 1)  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
    if libc.syscall(seccomp, *filter_all_threads, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "cannot forbid system calls")


def limit_memory(megabytes: int) -> None:
    """Addresses beyond what is in use now; an allocation that asks for more fails."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + megabytes * MEGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def forget_peak() -> int:
    """Begin to measure anew; megabytes that are held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """The most megabytes held since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024

"""What a process and its children have used, as the kernel counts it."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

_PAGES_TO_KB: Final = os.sysconf("SC_PAGE_SIZE") // 1024


def family(pid: int) -> list[int]:
    """A process and all that it has started and that still run."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text("ascii").split():
                found += family(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children, ended threads included, to the nanosecond."""
    return sum(_cpu_ns(member) for member in family(pid)) / 1e9


def _cpu_ns(pid: int) -> int:
    # How the kernel writes "the CPU time clock of that process": clock_getcpuclockid(3), which Python does not offer.
    with contextlib.suppress(OSError):
        return time.clock_gettime_ns((~pid << 3) | 2)
    return 0


def core_busy_seconds(pid: int) -> float:
    """The time that anybody has used the first core that a process may run on; in steps of 10 ms."""
    core = min(os.sched_getaffinity(pid))
    for line in Path("/proc/stat").read_text("ascii").splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return 0.0


def resident_kb(pid: int) -> int:
    """Resident memory of a process and its children; pages that they share are counted for each."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{member}/statm").read_text("ascii").split()[1]) * _PAGES_TO_KB
    return total

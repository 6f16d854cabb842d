"""How many processes are worth starting: what the pod may use, not what the node has."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MOST = 8
"""Processes: beyond it the one that writes the tables is what others wait for, and memory grows by 150 MB each."""


def allowed(cgroup: Path = CGROUP) -> int:
    """CPUs that this process may use: those of its affinity, at most its share of time (cgroup v2 or v1), at least one."""
    mine = len(os.sched_getaffinity(0))
    return max(min(mine, math.ceil(_share(cgroup) or mine)), 1)


def _share(cgroup: Path) -> float | None:
    """CPUs that the cgroup grants; None where it has no limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((cgroup / name).read_text() for name in files).split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):  # no such file, or "max"
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None

"""Memory of a process and all below it, at its highest, asked of /proc again and again; and the CPU time they took."""

import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.2
"""Seconds."""
PROC = Path("/proc")


@dataclass(frozen=True)
class Peak:
    """Bytes. RSS counts pages that processes share once for each, PSS shares them out."""

    rss: int
    pss: int


class Memory:
    """The highest sums so far."""

    def __init__(self) -> None:
        self.peak = Peak(0, 0)

    def watch(self, process: int) -> None:
        """Look until the process is gone."""
        while (PROC / str(process)).exists():
            found = [_of(one) for one in _tree(process)]
            rss, pss = sum(one.rss for one in found), sum(one.pss for one in found)
            self.peak = Peak(max(rss, self.peak.rss), max(pss, self.peak.pss))
            time.sleep(EVERY)


def _tree(process: int) -> list[int]:
    """The process and all below it."""
    found = [process]
    for one in found:
        with suppress(OSError):
            for task in (PROC / str(one) / "task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _of(process: int) -> Peak:
    rss = pss = 0
    with suppress(OSError):
        for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "Rss":
                rss = int(rest.split()[0]) * 1024
            elif name == "Pss":
                pss = int(rest.split()[0]) * 1024
    return Peak(rss, pss)


def cpu_seconds() -> float:
    """Of this process and of those below it that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)

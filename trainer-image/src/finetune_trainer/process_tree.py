"""The processes below another, as /proc tells it."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def children(parent: int) -> Iterator[int]:
    """The pids whose parent is `parent`."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and _parent(folder) == parent:
            yield int(folder.name)


def descendants(ancestor: int) -> list[int]:
    """The pids below `ancestor`, parents before their children."""
    found: list[int] = []
    for child in children(ancestor):
        found += [child, *descendants(child)]
    return found


def kill_below(ancestor: int) -> None:
    """SIGKILL to everything below `ancestor`."""
    for pid in descendants(ancestor):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _parent(folder: Path) -> int | None:
    """Field 4 of /proc/PID/stat; the name before it may hold spaces and brackets."""
    try:
        stat = (folder / "stat").read_text(errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])

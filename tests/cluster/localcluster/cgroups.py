"""A node's pods live below one cgroup of its own, in every hierarchy: limits work, and `down` finds what is left."""

import os
import signal
import time
from pathlib import Path

from localcluster.addresses import Node

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """cgroup v2: the one; v1 and hybrid: one folder a controller."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return sorted(
        {path.resolve() for path in ROOT.iterdir() if path.is_dir() and (path / "cgroup.procs").exists()}
    )


def ensure(node: Node) -> None:
    """Make the node's folder everywhere; the kubelet wants it to be there."""
    for hierarchy in hierarchies():
        folder = hierarchy / node.namespace
        folder.mkdir(exist_ok=True)
        for name in (
            "cpuset.cpus",
            "cpuset.mems",
        ):  # v1: empty in a new folder, and then no process may enter
            if (folder / name).exists() and not (folder / "cgroup.controllers").exists():
                (folder / name).write_text((hierarchy / name).read_text())
        if (hierarchy / "cgroup.subtree_control").exists() and hierarchy == ROOT:
            controllers = (hierarchy / "cgroup.controllers").read_text().split()
            for place in (hierarchy, folder):
                (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def processes(node: Node) -> set[int]:
    """Everything that runs in the node's pods."""
    return {
        int(pid)
        for hierarchy in hierarchies()
        for folder in _below(hierarchy / node.namespace)
        for pid in _lines(folder / "cgroup.procs")
    }


def kill(node: Node, patience: float = 10) -> None:
    """SIGKILL to every process of the node's pods, until none is left: they may fork meanwhile."""
    deadline = time.monotonic() + patience
    while (pids := processes(node)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def remove(node: Node) -> None:
    """Remove the node's folders, deepest first. One that is busy stays, and is reported by `left_over`."""
    for hierarchy in hierarchies():
        folders = sorted(_below(hierarchy / node.namespace), key=lambda path: -len(path.parts))
        for folder in folders:
            try:
                folder.rmdir()
            except OSError:
                continue


def left_over() -> list[str]:
    return [f"cgroup {folder}" for hierarchy in hierarchies() for folder in hierarchy.glob("finetune-node*")]


def _below(top: Path) -> list[Path]:
    """`top` and every folder below it. The kubelet removes some while we look: those are passed over."""
    return [Path(folder) for folder, _, _ in os.walk(top)]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:  # the folder went away, or a v2 folder of threads
        return []

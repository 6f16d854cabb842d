"""Processes that we did not start ourselves: containerd's shims, and whatever is left over."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path


def shims(socket: Path) -> list[int]:
    """The shims of the containerd that listens at `socket`; they outlive it by design."""
    return [pid for pid, argv in command_lines() if "containerd-shim" in argv[0] and str(socket) in argv]


def of_programs(names: frozenset[str], *folders: Path) -> dict[int, str]:
    """Processes of these programs with a path below one of the folders in their command line. (A person's
    `tail -f` on a log is none of them.)"""
    return {
        pid: " ".join(argv)[:160]
        for pid, argv in command_lines()
        if Path(argv[0]).name in names and mentions(argv, folders)
    }


def mentions(argv: list[str], folders: tuple[Path, ...]) -> bool:
    """PURE: whether a path below one of the folders is in a command line; a folder's namesakes do not count."""
    return any(f"{folder}/" in word for folder in folders for word in argv)


def inside(network_namespace: Path) -> dict[int, str]:
    """Processes that live in a network namespace."""
    if not network_namespace.exists():
        return {}
    wanted = network_namespace.stat().st_ino
    return {pid: " ".join(argv)[:160] for pid, argv in command_lines() if _network_of(pid) == wanted}


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def command_lines() -> list[tuple[int, list[str]]]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if argv[0]:
                found.append((int(folder.name), argv))
    return found


def _network_of(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0

"""What this machine has to train with."""

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

ASK = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
MIB = 1 << 20
SECONDS = 20.0


@dataclass(frozen=True)
class Machine:
    """Its sizes."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    """Free where the job runs."""
    gpu_memory_bytes: tuple[int, ...] = ()
    """Of each GPU."""
    folder: Path = Path()
    """Where that space is free: the nearest folder that there is."""


def here(folder: Path) -> Machine:
    """This one. `folder`: where work shall lie; it need not exist yet."""
    while not folder.exists():
        folder = folder.absolute().parent
    return Machine(
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_bytes=shutil.disk_usage(folder).free,
        gpu_memory_bytes=_gpus(),
        folder=folder,
    )


def _gpus() -> tuple[int, ...]:
    """NVIDIA's, as its driver tells them; none where there is no driver."""
    program = shutil.which(ASK[0])
    if program is None:
        return ()
    try:
        told = subprocess.run(  # noqa: S603 - found on PATH, by a fixed name
            [program, *ASK[1:]], capture_output=True, text=True, timeout=SECONDS, check=True
        )
        return tuple(int(line) * MIB for line in told.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether one can listen there."""
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True

"""Processes that outlive the command that started them: started once, found again, stopped by pid."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import content, programs
from localcluster.errors import ClusterError
from localcluster.places import Places

BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Daemon:
    """What runs, where, and how to tell that it works."""

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    files: Mapping[Path, str] = field(default_factory=dict)  # its configuration, written before it starts
    environ: Mapping[str, str] = field(default_factory=dict)  # on top of ours
    namespace: str | None = None  # network namespace; None: the host's
    niceness: int = 0  # below 0: keeps answering while builds and training eat both cores
    patience: float = 60  # seconds until `ready` must hold
    advice: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes when the daemon must be started anew."""
        files = content.of_mapping({str(path): text for path, text in self.files.items()})
        return content.fingerprint(*self.argv, self.namespace or "", files, content.of_mapping(self.environ))

    def command(self) -> list[str]:
        """nsenter changes the network alone: containerd and kubelet must share the host's mounts, and both end in exec."""
        network = ["nsenter", f"--net=/run/netns/{self.namespace}", "--"] if self.namespace else []
        return ["nice", "-n", str(self.niceness), *network, *self.argv]


@dataclass(frozen=True)
class Record:
    """A process as it was when we started it. Start time and boot tell it from a later one with the same number."""

    pid: int
    started: str  # clock ticks since boot, from /proc/PID/stat
    boot: str
    fingerprint: str

    def alive(self) -> bool:
        return self.boot == boot() and start_time(self.pid) == self.started


def boot() -> str:
    """Another text after every restart of the machine."""
    return BOOT.read_text().strip()


def start_time(pid: int) -> str | None:
    """When a living process began; None for a dead one or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def record(places: Places, name: str) -> Record | None:
    """What is known of a daemon; None if it was never started or has been stopped."""
    try:
        return Record(**json.loads((places.processes / f"{name}.json").read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def alive(places: Places, name: str) -> bool:
    known = record(places, name)
    return known is not None and known.alive()


def names(places: Places) -> list[str]:
    """All daemons on record, living or dead."""
    return sorted(file.stem for file in places.processes.glob("*.json"))


def ensure(places: Places, daemon: Daemon) -> bool:
    """Have the daemon running with this very configuration and ready. True if it had to be started."""
    known = record(places, daemon.name)
    if (
        known
        and known.alive()
        and known.fingerprint == daemon.fingerprint
        and _ready_within(daemon, known, seconds=10)
    ):
        return False
    stop(places, daemon.name)
    known = _start(places, daemon)
    if not _ready_within(daemon, known, daemon.patience):
        log = places.logs / f"{daemon.name}.log"
        state = f"is not ready after {daemon.patience:.0f} s" if known.alive() else "ended"
        tail = "\n".join(f"    {line}" for line in programs.last_lines(log).splitlines())
        message = f"{daemon.name} {state}. Last lines of {log}:\n{tail}\n  {daemon.advice or 'Run `down` and `up` again.'}"
        raise ClusterError(message)
    return True


def stop(places: Places, name: str, patience: float = 10) -> None:
    """End a daemon: politely, then not. One that has gone already is fine."""
    known = record(places, name)
    if known:
        end(known.pid, known.started if known.boot == boot() else None, patience)
    (places.processes / f"{name}.json").unlink(missing_ok=True)


def kill(places: Places, name: str) -> None:
    """End a daemon as a power cut would."""
    stop(places, name, patience=0)


def end(pid: int, started: str | None, patience: float) -> None:
    """SIGTERM, then SIGKILL after `patience` seconds, to that very process and to no later one with its number."""
    for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        if seconds == 0:
            continue
        if started is None or start_time(pid) != started:
            return
        os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and start_time(pid) == started:
            time.sleep(0.02)


def _start(places: Places, daemon: Daemon) -> Record:
    for folder in (places.logs, places.processes):
        folder.mkdir(parents=True, exist_ok=True)
    for path, text in daemon.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with (places.logs / f"{daemon.name}.log").open("ab") as log:
        process = subprocess.Popen(
            daemon.command(),
            env={**os.environ, **daemon.environ},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # the shell that ran `up` may go
        )
    process.returncode = 0  # it is nobody's to wait for; this silences the warning about a running child
    known = Record(process.pid, start_time(process.pid) or "", boot(), daemon.fingerprint)
    (places.processes / f"{daemon.name}.json").write_text(json.dumps(known.__dict__))
    return known


def _ready_within(daemon: Daemon, known: Record, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while known.alive():
        if daemon.ready():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return False

"""A port of a pod on this machine, by `kubectl port-forward`: the API client's own way serves one connection at a time."""

import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from typing import IO

from kubectl_finetune import errors

OPENED = re.compile(r"^Forwarding from \S+:(\d+) ->")
SECONDS = 20.0
"""In which kubectl must have begun."""


def program() -> str:
    """Kubectl. `Outside` where there is none."""
    found = shutil.which("kubectl")
    if found is None:
        raise errors.Outside("kubectl, which connects to the pod, is not on PATH; install it, or use --here")
    return found


class Tunnel:
    """Leads from `host`:`port` of this machine to `to` of a pod. Opened by `open`, and again where it broke."""

    def __init__(self, flags: Sequence[str], pod: str, *, to: int, host: str, port: int) -> None:
        self.host = host
        self.port = port
        """0 until it is open: any."""
        self._words = [program(), "port-forward", *flags, "--address", host, f"pod/{pod}"]
        self._to = to
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it stands."""
        return self._process is not None and self._process.poll() is None

    def open(self) -> None:
        """Open it. `Denied` or `Outside` with what kubectl says where it cannot."""
        self.close()
        ports = f"{self.port or ''}:{self._to}"
        process = subprocess.Popen(  # noqa: S603 - found on PATH, by a fixed name
            [*self._words, ports],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is ours: the pod is removed first
        )
        self._process = process
        said = _heard(process)
        found = OPENED.match(said)
        if found is None:
            self.close()
            refused = errors.Denied if "forbidden" in said.lower() else errors.Outside
            raise refused(
                f"the pod cannot be reached (kubectl port-forward says: {said or 'nothing'}); try again, or use --here"
            )
        self.port = int(found[1])

    def close(self) -> None:
        """Close it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


def _heard(process: "subprocess.Popen[str]") -> str:
    """The first line; the rest is read away, so that kubectl never waits for a reader."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read(output: IO[str]) -> None:
        with output:
            for line in output:
                lines.put(line.strip())
        lines.put("")

    if process.stdout is not None:
        threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    try:
        return lines.get(timeout=SECONDS)
    except queue.Empty:
        return ""

"""A real S3 server on loopback, versitygw over a folder: one bucket per folder below `root`."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trainer_tiny_model

ACCESS, SECRET = "root", "root-secret"


@dataclass(frozen=True)
class Server:
    """Where it listens, and where its buckets lie."""

    endpoint: str
    root: Path

    def bucket(self, name: str) -> Path:
        """Make a bucket; its folder."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def keys(self) -> dict[str, str]:
        """What a Secret for it holds."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.endpoint,
        }


def binary() -> Path | None:
    """The program: $VERSITYGW, on the PATH, or what the local cluster has built."""
    named = os.environ.get("VERSITYGW") or shutil.which("versitygw")
    found = Path(named) if named else trainer_tiny_model.cache() / "bin" / "versitygw"
    return found if os.access(found, os.X_OK) else None


@contextlib.contextmanager
def serving(program: Path, root: Path) -> Iterator[Server]:
    """Serve the folder `root` until the block ends."""
    port = free_port()
    log = root.with_name(f"{root.name}.log")
    root.mkdir(parents=True, exist_ok=True)
    arguments = [
        "--access",
        ACCESS,
        "--secret",
        SECRET,
        "--port",
        f"127.0.0.1:{port}",
        "--quiet",
        "posix",
        str(root),
    ]
    with log.open("wb") as out, subprocess.Popen([program, *arguments], stdout=out, stderr=out) as process:
        try:
            wait_for(port, process, log)
            yield Server(f"http://127.0.0.1:{port}", root)
        finally:
            process.terminate()
            process.wait(10)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path, *, looks: int = 100) -> None:
    """Until somebody listens; `looks`: how often it is looked, ten times a second."""
    for _attempt in range(looks):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} did not start: {log.read_text()}")

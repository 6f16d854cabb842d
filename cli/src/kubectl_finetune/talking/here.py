"""The server as a process of this machine."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune_operator.observe import documents
from kubectl_finetune import errors, signals
from kubectl_finetune.local import machine, stage
from kubectl_finetune.local.folder import Folder
from kubectl_finetune.talking import client
from kubectl_finetune.talking.result import Result

ENDS_IN = 10.0
"""Seconds that it may take to end."""


class Process:
    """A running one (`server.Server`)."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", folder: Folder, name: str, host: str, port: int
    ) -> None:
        self.name, self.host = name, host
        self._port = port
        self._process, self._folder = process, folder

    @property
    def port(self) -> int:
        """See `server.Server`."""
        return self._port

    def check(self) -> None:
        """See `server.Server`."""
        code = self._process.poll()
        if code is None:
            return
        raise errors.StageEnded(said(_text(self._folder.last_word)) or _lines(self._folder), code=code or 1)


@contextmanager
def serving(result: Result, base: tuple[str, str | None], *, host: str, port: int) -> Iterator[Process]:
    """Started, and ended with the context. `port` 0: any."""
    stage.available()
    place, revision = base
    chosen = port or machine.free_port()
    with tempfile.TemporaryDirectory(prefix="kubectl-finetune-") as temporary, signals.as_ctrl_c():
        folder = Folder(Path(temporary))
        folder.pod.mkdir()
        command = [
            *(sys.executable, "-m", "finetune_trainer.talking", "--result", str(result.folder)),
            *("--base", place, *(("--revision", revision) if revision else ())),
            *("--host", host, "--port", str(chosen), "--layout-root", str(folder.pod)),
            *("--alone-for", str(client.ALONE_SECONDS)),
        ]
        with (folder.root / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - ourselves
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            yield Process(process, folder, result.name, host, chosen)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(ENDS_IN)
            process.kill()
            process.wait()


def said(text: str | None) -> str | None:
    """The sentence of the server's last word; None where there is none."""
    word = documents.parsed(text) if text else None
    return str(word["message"]) if word and isinstance(word.get("message"), str) else None


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _lines(folder: Folder) -> str:
    """What it wrote last, where it has left no word."""
    lines = (_text(folder.root / "log") or "").strip().splitlines()
    return f"the model's server ended and did not say why; its last line was {json.dumps(lines[-1] if lines else '')}"

"""Two nodes on one machine: two pods' trees with one cluster storage, two supervisors that meet over loopback."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from finetune_trainer import process_tree
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import launch
from trainer_processes import word

PATIENCE = 600


class Gang:
    """The pods of one attempt after the other."""

    def __init__(self, prepared: Layout, root: Path, digest: str, *, silence: float = 60.0) -> None:
        shutil.copytree(prepared.scratch.parent, root / "node-0", symlinks=True)
        shutil.copytree(prepared.run.parent, root / "node-1" / "etc")
        (root / "node-1" / "claims").symlink_to(root / "node-0" / "claims")
        self.layouts = [Layout.under(root / "node-0"), Layout.under(root / "node-1")]
        self.digest = digest
        self.silence = silence
        self.attempt = 0
        self.pods: list[subprocess.Popen[bytes]] = []

    def start(self, *, nodes: tuple[int, ...] = (0, 1), **environment: str) -> None:
        """A new attempt: fresh disks, new processes."""
        self.attempt += 1
        here, ranks = launch.free_port(), launch.free_port()
        self.pods = []
        for node in nodes:
            layout = self.layouts[node]
            shutil.rmtree(layout.scratch, ignore_errors=True)
            layout.termination_log.unlink(missing_ok=True)
            command = [
                *(sys.executable, "-m", "trainer_node", str(ranks), str(self.silence), "train"),
                *("--run", str(layout.run), "--layout-root", str(layout.scratch.parent)),
                *("--attempt", str(self.attempt), "--prepared", self.digest),
                *("--port", str(here if node == 0 else 0), "--main", f"127.0.0.1:{here}"),
            ]
            self.pods.append(
                subprocess.Popen(
                    command,
                    env={
                        **os.environ,
                        **environment,
                        "JOB_COMPLETION_INDEX": str(node),
                        "PYTHONPATH": str(Path(__file__).parent),
                    },
                )
            )

    def ends(self) -> list[tuple[int, str]]:
        """Exit code and reason of each, once all have ended."""
        codes = [pod.wait(timeout=PATIENCE) for pod in self.pods]
        return [
            (code, self.said(node)["reason"] if self.layouts[node].termination_log.exists() else "")
            for node, code in enumerate(codes)
        ]

    def said(self, node: int) -> dict[str, Any]:
        """A node's last word."""
        return word(self.layouts[node])

    @property
    def output(self) -> Path:
        """Where the result lies."""
        return self.layouts[0].claims / "output" / "tiny"

    def saved(self) -> list[str]:
        """Checkpoints in the work area that are whole."""
        return sorted(path.parent.name for path in self.output.rglob("checkpoint.json"))

    def kill(self, node: int) -> None:
        """SIGKILL to everything in a pod, as when its container goes."""
        pod = self.pods[node]
        for pid in [pod.pid, *process_tree.descendants(pod.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        pod.wait()

    def close(self) -> None:
        """Leave nothing behind."""
        for node, pod in enumerate(self.pods):
            if pod.poll() is None:
                self.kill(node)

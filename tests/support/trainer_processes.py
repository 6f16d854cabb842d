"""The trainer's two stages as the real processes that pods run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from finetune_trainer.layout import Layout


def command(layout: Layout, *arguments: str) -> list[str]:
    """What the pod of `layout` starts."""
    root = layout.scratch.parent
    return [
        *(sys.executable, "-m", "finetune_trainer", *arguments, "--run", str(layout.run)),
        *("--layout-root", str(root), "--port", "0"),
    ]


def start(layout: Layout, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
    """Start it, with more in its environment."""
    return subprocess.Popen(
        command(layout, *arguments), env={**os.environ, "AWS_SECRET_ACCESS_KEY": "not for ranks", **environ}
    )


def word(layout: Layout) -> dict[str, Any]:
    """The last word."""
    raw = layout.termination_log.read_bytes()
    assert len(raw) <= 4096
    said: dict[str, Any] = json.loads(raw)
    return said


def ran(layout: Layout, *arguments: str) -> dict[str, Any]:
    """The last word of a stage that went well."""
    assert start(layout, *arguments).wait(timeout=300) == 0, word(layout)
    return word(layout)


def copied(layout: Layout, root: Path) -> Layout:
    """The same cluster storage for another pod, with a scratch disk of its own."""
    shutil.copytree(layout.scratch.parent, root, symlinks=True)
    made = Layout.under(root)
    shutil.rmtree(made.scratch)
    return made


def slow_steps(steps: int, seconds: float) -> dict[str, str]:
    """What makes the first attempt's later steps last so long, for `start`: a fast machine makes them all before anybody looks."""
    waits = [
        {"at": "Step", "step": step, "do": "Wait", "seconds": seconds, "attempt": 1}
        for step in range(3, steps + 1)
    ]
    return {"FINETUNE_FAILPOINTS": json.dumps(waits)}


def stop_while_training(process: subprocess.Popen[bytes], layout: Layout) -> None:
    """SIGTERM as soon as the third step is told."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if layout.progress.exists():
            told = json.loads(layout.progress.read_bytes())
            if told["stage"] == "Train" and (told.get("step") or 0) >= 1:
                process.send_signal(signal.SIGTERM)
                return
        time.sleep(0.005)
    raise AssertionError("training never began")

"""The trainer's two stages as the real processes that pods run."""

import json
import os
import subprocess
import sys
from typing import Any

from finetune_trainer.layout import Layout


def command(layout: Layout, *arguments: str) -> list[str]:
    """What the pod of `layout` starts."""
    root = layout.scratch.parent
    return [
        *(sys.executable, "-m", "finetune_trainer", *arguments, "--run", str(layout.run)),
        *("--layout-root", str(root), "--port", "0"),
    ]


def start(layout: Layout, *arguments: str) -> subprocess.Popen[bytes]:
    """Start it."""
    return subprocess.Popen(
        command(layout, *arguments), env={**os.environ, "AWS_SECRET_ACCESS_KEY": "not for ranks"}
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

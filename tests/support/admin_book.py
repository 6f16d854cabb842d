"""The admin's pages in a terminal: their shell blocks are run as they stand, but for names that are the reader's own."""

import os
import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

import page_blocks
import real_cluster

DOCS = real_cluster.ROOT / "docs"
PAGES = [*sorted((DOCS / "admin").glob("*.md")), DOCS / "alerts.md"]
SECONDS = 240


class Book:
    """Shell blocks of these pages. It knows which of them are still to be run."""

    def __init__(self, kubeconfig: str, programs: pathlib.Path, names: Mapping[str, str]) -> None:
        """`programs`: the folder of kubectl and helm; `names`: what a page writes, and what is meant here."""
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self._environ = {**os.environ, "KUBECONFIG": kubeconfig, "PATH": path}
        self._names = names
        self._blocks = [block for page in PAGES for block in page_blocks.shell(page.read_text())]
        self._run: set[page_blocks.Shell] = set()

    def follow(self, begins: str, folder: pathlib.Path = real_cluster.ROOT, **names: str) -> str:
        """Run the one block that begins like this, in `folder`; what it printed. `names`: more of them."""
        (block,) = [one for one in self._blocks if one.text.startswith(begins)]
        return self._print(block, folder, names)

    def runbook(self, alert: str, **names: str) -> str:
        """Run what the page of alerts says to do about one; what it printed."""
        blocks = [one for one in self._blocks if one.heading == alert and not one.not_run]
        assert blocks, f"docs/alerts.md has no command for {alert}"
        return "".join(self._print(block, real_cluster.ROOT, names) for block in blocks)

    def left(self) -> list[str]:
        """Blocks that were not run, and do not say why."""
        return [one.text for one in self._blocks if not one.not_run and one not in self._run]

    def _print(self, block: page_blocks.Shell, folder: pathlib.Path, names: Mapping[str, str]) -> str:
        self._run.add(block)
        return "".join(self._command(command, folder, names) for command in block.commands)

    def _command(self, command: str, folder: pathlib.Path, names: Mapping[str, str]) -> str:
        for name, meant in {**self._names, **names}.items():
            command = command.replace(name, meant)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder, env=self._environ, capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        print(f"$ {command}\n{done.stdout}{done.stderr}")
        found_nothing = " | grep " in command and done.returncode == 1 and not done.stderr
        assert done.returncode == 0 or found_nothing, f"{command}: {done.stderr}"
        return done.stdout


def objects(page: str) -> list[dict[str, Any]]:
    """Kubernetes objects that a page below docs/ shows."""
    blocks = page_blocks.of_language((DOCS / page).read_text(), "yaml")
    documents = [one for block in blocks for one in yaml.safe_load_all(block)]
    return [
        one for one in documents if isinstance(one, dict) and {"apiVersion", "kind", "metadata"} <= one.keys()
    ]

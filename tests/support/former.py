"""An earlier chart, and the operator of its commit, out of git: what an admin upgrades from."""

import json
import pathlib
import subprocess
from dataclasses import dataclass

import real_cluster

CHARTS, OPERATOR = "charts", "operator"
TAKEN = (CHARTS, OPERATOR, "examples")
NO_HISTORY = "an earlier chart and operator are needed, and git does not have them: clone the repository with its history"
REFUSED = "has(self.bertScore) == self.metrics.exists"
"""A rule of the CustomResourceDefinition that no API server takes: commits with it cannot be installed, nor upgraded from."""


def commit() -> str:
    """The newest one before a change of the chart that can be installed, and whose chart and operator are not the working tree's.

    Fetches history that a shallow clone left out.
    """
    if _git("rev-parse", "--is-shallow-repository").strip() == "true":
        _git("fetch", "--quiet", "--unshallow")
    changes = _git("rev-list", "HEAD", "--", CHARTS).split()
    for candidate in ["HEAD", *(f"{change}^" for change in changes)]:
        others = all(
            _git("ls-tree", candidate, one) and _differs(candidate, one) for one in (CHARTS, OPERATOR)
        )
        if others and not _refused(candidate):
            return _git("rev-parse", candidate).strip()
    raise AssertionError(NO_HISTORY)


@dataclass(frozen=True)
class Former:
    """That commit."""

    folder: pathlib.Path
    """Its charts, operator and examples, as a checkout has them."""
    image: str
    """Its operator."""

    @property
    def chart(self) -> str:
        """Its chart's folder."""
        return str(self.folder / "charts" / "finetune-operator")


def built(folder: pathlib.Path) -> Former:
    """Unpacked in `folder`, and its operator in the registry."""
    archive = subprocess.run(
        ["git", "-C", str(real_cluster.ROOT), "archive", commit(), *TAKEN], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    said = real_cluster.localcluster("images", f"operator={folder / 'operator'}")
    return Former(folder, json.loads(said.splitlines()[-1])["operator"])


def _refused(candidate: str) -> bool:
    words = ("git", "-C", str(real_cluster.ROOT), "grep", "--quiet", "--fixed-strings", REFUSED, candidate)
    return subprocess.run([*words, "--", CHARTS], check=False).returncode == 0


def _differs(candidate: str, folder: str) -> bool:
    done = subprocess.run(
        ["git", "-C", str(real_cluster.ROOT), "diff", "--quiet", candidate, "--", folder], check=False
    )
    return done.returncode != 0


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(real_cluster.ROOT), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{NO_HISTORY} (git {' '.join(words)}: {done.stderr.strip()})"
    return done.stdout

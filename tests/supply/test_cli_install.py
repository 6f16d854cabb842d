"""`kubectl finetune` as an author installs it: from a checkout, into an environment of its own, at the versions of the lock."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
pytestmark = pytest.mark.slow


def uv(*words, **environment):
    """Run uv; what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "uv", *words],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def constraints(tmp_path):
    """The lock's versions with their markers, and no hashes: with hashes uv would ask for one of our own wheels, too."""
    file = tmp_path / "constraints.txt"
    file.write_text("\n".join(re.findall(r"^[a-z0-9][^\\\n]*==[^\\\n]*", LOCK, re.MULTILINE)) + "\n")
    return file


def test_it_is_installed_as_a_tool_and_found_by_kubectl(tmp_path, constraints):
    folders = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    uv("tool", "install", "--python", sys.executable, "--constraints", str(constraints), "./cli", **folders)

    programs = sorted(one.name for one in (tmp_path / "bin").iterdir())
    said = subprocess.run(
        [tmp_path / "bin/kubectl-finetune", "--version"], capture_output=True, text=True, check=True
    )
    completed = subprocess.run(
        [tmp_path / "bin/kubectl_complete-finetune", "st"], capture_output=True, text=True, check=True
    )

    assert programs == ["kubectl-finetune", "kubectl_complete-finetune"], (
        "the operator's own program is no author's"
    )
    assert said.stdout.startswith("kubectl finetune, version ")
    assert completed.stdout.startswith("status\t")
    assert not list((tmp_path / "tools").glob("**/torch")), "who only talks to a cluster needs no torch"


def test_what_trains_here_comes_with_the_extra_at_the_locks_versions(tmp_path, constraints):
    uv("venv", "-q", "--python", sys.executable, str(tmp_path / "venv"))

    told = uv(
        "pip",
        "install",
        "--dry-run",
        "--python",
        str(tmp_path / "venv"),
        "-c",
        str(constraints),
        "./cli[local]",
    )

    torch = re.search(r"^torch==(\S+)", LOCK, re.MULTILINE)[1]
    assert f" + torch=={torch}" in told
    assert re.search(r"^ \+ finetune-trainer\b", told, re.MULTILINE)

"""kubectl finetune as krew installs it: what is built, held to krew's rules, unpacked as krew does it and started by kubectl."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import chart_tools

ROOT = Path(__file__).resolve().parents[2]
HERE = "linux-amd64"
SEMVER = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
JOB = ("create", "bot", "--model", "hf://Qwen/Qwen3-0.6B", "--data", "s3://a/t.jsonl", "--to", "s3://a/out")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="not this machine's"
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder that `make krew` fills, with the archive of this machine."""
    into = tmp_path_factory.mktemp("krew")
    words = (
        "--into",
        into,
        "--platform",
        HERE,
        "--at",
        "https://downloads.example/finetune/releases/download/",
    )
    subprocess.run([sys.executable, ROOT / "cli/krew/build.py", *words], check=True, timeout=500)
    return into


@pytest.fixture(scope="module")
def manifest(built) -> dict[str, Any]:
    return yaml.safe_load((built / "finetune.yaml").read_text())


@pytest.fixture(scope="module")
def archive(built, manifest) -> Path:
    (one,) = manifest["spec"]["platforms"]
    return built / one["uri"].rpartition("/")[2]


@pytest.fixture(scope="module")
def installed(archive, manifest, tmp_path_factory) -> Path:
    """krew's two folders: a store, and one of links that stands on PATH."""
    root = tmp_path_factory.mktemp("krew-root")
    store = root / "store" / "finetune" / manifest["spec"]["version"]
    store.mkdir(parents=True)
    shutil.unpack_archive(archive, store)
    links = root / "bin"
    links.mkdir()
    (one,) = manifest["spec"]["platforms"]
    (links / "kubectl-finetune").symlink_to(os.path.relpath(store / one["bin"], links))
    return links


@pytest.fixture(scope="module")
def kubectl() -> Path:
    return chart_tools.built("kubectl")


@pytest.fixture
def finetune(installed, kubectl, tmp_path):
    """`kubectl finetune ...` of somebody who has nothing but kubectl, krew's folder and, if so, Python 3.11."""
    python = linked(tmp_path / "python", {"python3.11": Path(sys.executable).resolve()})
    posix = linked(tmp_path / "posix", {name: shutil.which(name) for name in ("sh", "readlink", "dirname")})

    def run(*words, has_python=True):
        path = [installed, kubectl.parent, posix, *([python] if has_python else [])]
        return subprocess.run(
            [kubectl, "finetune", *words],
            cwd=tmp_path,
            env={"PATH": os.pathsep.join(map(str, path)), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def linked(folder, programs):
    """A folder of programs for somebody's PATH."""
    folder.mkdir()
    for name, where in programs.items():
        (folder / name).symlink_to(where)
    return folder


def test_the_manifest_is_one_that_krew_takes(manifest):
    spec = manifest["spec"]
    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert manifest["kind"] == "Plugin"
    assert re.fullmatch(r"[\w-]+", manifest["metadata"]["name"])
    assert SEMVER.fullmatch(spec["version"])
    assert spec["shortDescription"]
    assert not {"\r", "\n"} & set(spec["shortDescription"])
    assert "Python 3.11" in spec["caveats"]
    for one in spec["platforms"]:
        assert set(one) == {"selector", "uri", "sha256", "bin"}
        assert set(one["selector"]) == {"matchLabels"}
        assert set(one["selector"]["matchLabels"]) == {"os", "arch"}
        assert re.fullmatch(r"[a-f0-9]{64}", one["sha256"])
        file = (
            f"kubectl-finetune-{spec['version']}-{'-'.join(one['selector']['matchLabels'].values())}.tar.gz"
        )
        assert one["uri"] == f"https://downloads.example/finetune/releases/download/{spec['version']}/{file}"


def test_the_archive_is_the_one_that_is_promised(manifest, archive):
    (one,) = manifest["spec"]["platforms"]
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == one["sha256"]


def test_the_archive_holds_what_krew_unpacks(manifest, archive):
    """Files and folders, none of them elsewhere; krew's index wants the licence, and kubectl an executable."""
    with tarfile.open(archive) as tar:
        entries = tar.getmembers()
    (one,) = manifest["spec"]["platforms"]
    assert [entry.name for entry in entries if not (entry.isfile() or entry.isdir())] == []
    assert [entry.name for entry in entries if ".." in entry.name or entry.name.startswith(("/", "\\"))] == []
    assert {entry.name: entry.mode for entry in entries if "/" not in entry.name} == {
        "LICENSE": 0o644, "kubectl-finetune": 0o755, "lib": 0o755, "main.py": 0o644,
    }  # fmt: skip
    assert one["bin"] in {entry.name for entry in entries}


def test_what_only_talks_to_a_cluster_needs_no_torch(archive):
    with tarfile.open(archive) as tar:
        packages = {entry.name.split("/")[1] for entry in tar.getmembers() if entry.name.startswith("lib/")}
    assert {"kubectl_finetune", "finetune_operator", "pydantic_core", "obstore"} <= packages
    assert not {"torch", "transformers", "finetune_trainer"} & packages


def test_kubectl_finds_and_starts_it(finetune):
    done = finetune("--help")

    assert done.returncode == 0, done.stderr
    assert "Fine-tune language models: make FineTuneJobs" in done.stdout


def test_it_knows_its_version(finetune, manifest):
    assert finetune("--version").stdout == f"kubectl finetune, version {manifest['spec']['version'][1:]}\n"


def test_it_makes_a_job(finetune):
    """With the compiled packages, and the API's own rules."""
    made = finetune(*JOB, "--dry-run")
    refused = finetune(*JOB, "--set", "training={epochs: 1, maxSteps: 9}", "--dry-run")

    assert yaml.safe_load(made.stdout)["spec"]["model"] == {"uri": "hf://Qwen/Qwen3-0.6B"}
    assert refused.returncode == 64
    assert "spec.training: set epochs or maxSteps, not both" in refused.stderr


def test_what_trains_here_is_said_to_be_missing(finetune, tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n')
    done = finetune("check", "data.jsonl", "--model", "./model")

    assert done.returncode == 69
    assert "the trainer is not installed here; install it from a checkout" in done.stderr


def test_without_python_it_says_what_to_install(finetune):
    done = finetune("--help", has_python=False)

    assert (done.returncode, done.stderr) == (
        69,
        "error: kubectl finetune needs Python 3.11, and there is no python3.11 on PATH; install it\n",
    )

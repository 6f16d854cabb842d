"""`make krew`: kubectl finetune as archives that krew installs, and the manifest that tells krew of them, below dist/krew.

Some of its packages are compiled, so there is one archive a platform; all wheels are those of the lock, by their hashes.
"""

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
INTO = ROOT / "dist" / "krew"
PYTHON = "3.11"
PLUGIN = "finetune"
PROGRAM = f"kubectl-{PLUGIN}"
API_VERSION = "krew.googlecontainertools.github.com/v1alpha2"
WHERE = "https://git.example/finetune-operator/releases/download"
"""Whoever publishes the archives says where (`--at`)."""
PLATFORMS = {
    "linux-amd64": "x86_64-manylinux_2_28",
    "linux-arm64": "aarch64-manylinux_2_28",
    "darwin-amd64": "x86_64-apple-darwin",
    "darwin-arm64": "aarch64-apple-darwin",
}
"""Platform as krew calls it -> as uv does."""

SHORT = "Fine-tune language models with FineTuneJobs"
DESCRIPTION = """\
Makes FineTuneJobs from flags or a form, follows them with progress and curve,
fetches their reports, compares them, and talks with the result. Needs the
finetune-operator in the cluster, and uses your own kubeconfig's rights alone.
"""
CAVEATS = """\
Needs Python 3.11 (python3.11 on PATH).
What trains on this machine (run --local, check, estimate, chat --here) is not
in it, being 6 GB: install the package kubectl-finetune[local] for that.
The shell's completion: kubectl-finetune completion bash
"""


class Lines(yaml.SafeDumper):
    """Texts of several lines as a person writes them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Lines.add_representer(str, _text)


def main() -> None:
    """Build the archives asked for, and the manifest of all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--into", type=Path, default=INTO, metavar="DIR", help="folder of archives and manifest"
    )
    parser.add_argument("--platform", action="append", choices=PLATFORMS, help="all of them if none is named")
    parser.add_argument("--at", default=WHERE, metavar="URL", help="where the archives are published")
    asked = parser.parse_args()
    asked.into.mkdir(parents=True, exist_ok=True)
    sums = {}
    for platform in asked.platform or PLATFORMS:
        file = asked.into / name(platform)
        file.write_bytes(archive(platform))
        sums[platform] = hashlib.sha256(file.read_bytes()).hexdigest()
        sys.stdout.write(f"{file}\n")
    made = asked.into / f"{PLUGIN}.yaml"
    made.write_text(
        yaml.dump(manifest(sums, asked.at), Dumper=Lines, sort_keys=False, width=120), encoding="utf-8"
    )
    sys.stdout.write(f"{made}\n")


def version() -> str:
    """The package's, as krew wants it."""
    found = tomllib.loads((ROOT / "cli" / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return f"v{found}"


def name(platform: str) -> str:
    """The archive's file name."""
    return f"{PROGRAM}-{version()}-{platform}.tar.gz"


def manifest(sums: dict[str, str], at: str) -> dict[str, Any]:
    """What krew reads. `sums`: platform -> SHA-256 of its archive."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Plugin",
        "metadata": {"name": PLUGIN},
        "spec": {
            "version": version(),
            "homepage": at.partition("/releases/")[0],
            "shortDescription": SHORT,
            "description": DESCRIPTION,
            "caveats": CAVEATS,
            "platforms": [_platform(one, digest, at) for one, digest in sums.items()],
        },
    }


def _platform(platform: str, digest: str, at: str) -> dict[str, Any]:
    system, _, machine = platform.partition("-")
    return {
        "selector": {"matchLabels": {"os": system, "arch": machine}},
        "uri": f"{at.rstrip('/')}/{version()}/{name(platform)}",
        "sha256": digest,
        "bin": PROGRAM,
    }


def archive(platform: str) -> bytes:
    """A .tar.gz of plain files and folders; the same bytes whenever it is built of the same things."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for file in (HERE / PROGRAM, HERE / "main.py", ROOT / "LICENSE"):
            shutil.copy(file, root)
        _packages(root / "lib", PLATFORMS[platform])
        made = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=made, mode="wb", mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            for path in sorted(root.rglob("*")):
                tar.add(path, str(path.relative_to(root)), recursive=False, filter=_nobodys)
        return made.getvalue()


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The entry without what differs between two machines."""
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _packages(lib: Path, platform: str) -> None:
    """The CLI, the operator's package that it reads jobs by, and all that they need, as wheels for `platform`."""
    with tempfile.TemporaryDirectory() as place:
        pinned, wheels = Path(place) / "requirements.txt", Path(place) / "wheels"
        theirs = ("--python-version", PYTHON, "--python-platform", platform)
        _uv(
            *("pip", "compile", "-q", *theirs, "--no-header", "--no-annotate", "--generate-hashes"),
            *("--constraints", ROOT / "requirements.lock", "--no-emit-package", "finetune-operator"),
            *(ROOT / "cli" / "pyproject.toml", "--output-file", pinned),
        )
        into = ("pip", "install", "-q", "--no-deps", "--only-binary", ":all:", "--target", lib, *theirs)
        _uv(*into, "--require-hashes", "--requirements", pinned)
        for package in ("operator", "cli"):
            _uv("build", "-q", "--wheel", "--out-dir", wheels, ROOT / package)
        _uv(*into, *sorted(wheels.glob("*.whl")))
    shutil.rmtree(lib / "bin", ignore_errors=True)  # programs of packages, which nobody calls
    (lib / ".lock").unlink(missing_ok=True)


def _uv(*words: str | os.PathLike[str]) -> None:
    subprocess.run([sys.executable, "-m", "uv", *words], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()

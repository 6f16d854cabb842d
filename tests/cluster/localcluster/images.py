"""The images that pods run: the pause container, a Python base, operator and trainer; built, pushed, named by content."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster import addresses, building, content, locking, programs, registry
from localcluster.building import Buildah
from localcluster.errors import ClusterError
from localcluster.places import CHECKOUT, SOURCES, Places
from localcluster.steps import Steps

OURS = {"operator": CHECKOUT / "operator", "trainer": CHECKOUT / "trainer-image"}
NOT_CONTENT = {"__pycache__", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".git"}

ROOM = (
    20 << 30
)  # bytes: a layer of 5.6 GB lies in three places while it is built, and in two more when it is run

# What a public python:3.11-slim has and our pods need. pip, so that a Dockerfile can install uv.
DEBIAN_RELEASE = "bookworm"
BASE_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv,tini"
BASE_SETUP = """\
set -eu
ln -s /usr/bin/python3 "$1/usr/local/bin/python"
ln -s /usr/bin/python3 "$1/usr/local/bin/python3"
# A container is no Debian system to protect from pip; python:3.11-slim has no such mark either.
rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/usr/share/doc/* "$1"/usr/share/man/*
"""


@dataclass(frozen=True)
class Pause:
    """Our pause container: 20 lines of C, since no registry is needed that way."""

    places: Places
    steps: Steps

    def reference(self) -> str:
        """What containerd is to pull; in the registry after this call."""
        source = SOURCES / "pause" / "pause.c"
        tag = content.fingerprint(source.read_bytes())
        if not registry.has(addresses.REGISTRY, "pause", tag):
            with locking.turn(self.places.images_lock, self.steps):
                self._make(source, tag)
        return f"{addresses.REGISTRY_NAME}/pause:{tag}"

    def _make(self, source: Path, tag: str) -> None:
        buildah, binary = Buildah(self.places), self.places.state / "pause"
        programs.run("gcc", "-Os", "-static", "-s", "-o", binary, source)
        buildah.from_files(
            f"localhost/pause:{tag}",
            {binary: "/pause"},
            "--entrypoint",
            '["/pause"]',
            "--user",
            "65535:65535",
        )
        buildah.push(f"localhost/pause:{tag}", f"{addresses.REGISTRY}/pause:{tag}", plain=True)
        buildah.settle()


@dataclass(frozen=True, kw_only=True)
class Work:
    """Building images for one registry."""

    buildah: Buildah
    registry: str
    local: bool  # our own registry, without TLS; any other one is used as buildah is configured to
    environ: Mapping[str, str]
    steps: Steps

    def build_all(self, folders: Mapping[str, Path]) -> dict[str, str]:
        """Build and push an image for every folder with a Dockerfile; their tags by name."""
        self.buildah.tidy()
        try:
            base = self.environ.get("BASE_IMAGE") or (
                debian_base(self.buildah, self.steps) if self.local else ""
            )
            return {name: self._build(name, folder, base) for name, folder in folders.items()}
        finally:
            self.buildah.settle()

    def _build(self, name: str, folder: Path, base: str) -> str:
        tag = tag_of(name, folder, base)
        if self.local and registry.has(self.registry, name, tag):
            self.steps.say(f"image {name}:{tag} is in the registry already")
            return tag
        if (free := shutil.disk_usage(self.buildah.places.cache).free) < ROOM:
            self.steps.say(
                f"only {free >> 30} GiB are free; a new trainer image needs {ROOM >> 30}, see tests/cluster/README.md"
            )
        arguments, secrets = building.host_settings(self.environ)
        if base:  # else the Dockerfile's own default
            arguments["BASE_IMAGE"] = base
        log = self.buildah.places.logs / f"build-{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        staged = self.buildah.storage / "contexts" / name
        building.stage(context_files(folder), folder, staged)
        with self.steps.step(f"build image {name}:{tag}", f"follow it: tail -f {log}"):
            self.buildah.build(staged, f"localhost/{name}:{tag}", arguments, secrets, log)
        with self.steps.step(f"push image {name} to {self.registry}", "only layers that are not there yet"):
            self.buildah.push(
                f"localhost/{name}:{tag}", f"{self.registry}/{name}:{tag}", log=log, plain=self.local
            )
        return tag


def tag_of(name: str, folder: Path, base: str) -> str:
    """The tag that says what an image is made of."""
    files = context_files(folder)
    if folder / "Dockerfile" not in files:
        message = f"image {name}: there is no Dockerfile in {folder}"
        raise ClusterError(message)
    return content.of_files(folder, files, base)


def debian_base(buildah: Buildah, steps: Steps) -> str:
    """Debian with Python 3.11, by debootstrap: stands in for python:3.11-slim where no registry is within reach."""
    reference = f"localhost/python:3.11-{content.fingerprint(DEBIAN_RELEASE, BASE_PACKAGES, BASE_SETUP)}"
    if not buildah.has(reference):
        log, root = buildah.places.logs / "build-base.log", buildah.storage / "debootstrap"
        log.parent.mkdir(parents=True, exist_ok=True)
        with steps.step("base image: Debian with Python 3.11", "cold 65 s, cached 0 s"):
            shutil.rmtree(root, ignore_errors=True)
            programs.run(
                "nice",
                "debootstrap",
                "--variant=minbase",
                f"--include={BASE_PACKAGES}",
                DEBIAN_RELEASE,
                root,
                log=log,
            )
            programs.run("sh", "-c", BASE_SETUP, "setup", root, log=log)
            config = (
                "--env",
                "PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
                "--env",
                "LANG=C.UTF-8",
            )
            buildah.from_files(reference, {root: "/"}, *config, "--cmd", "python3")
            shutil.rmtree(root, ignore_errors=True)
    return reference


def context_files(folder: Path) -> list[Path]:
    """The files of a build context: what git would commit; outside a repository, all but caches."""
    listed = subprocess.run(
        ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        found = [folder / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for path in folder.rglob("*") if not NOT_CONTENT & set(path.relative_to(folder).parts)]
    return sorted(path for path in set(found) if path.is_file())


def wanted(pairs: list[str]) -> dict[str, Path]:
    """NAME=FOLDER arguments; without any, our own images as far as their Dockerfiles exist."""
    if not pairs:
        return {name: folder for name, folder in OURS.items() if (folder / "Dockerfile").exists()}
    found = {}
    for pair in pairs:
        name, separator, folder = pair.partition("=")
        path = Path(folder or OURS.get(name, Path())).resolve()
        if not (separator or name in OURS):
            message = f"{pair!r}: say NAME=FOLDER, or one of {', '.join(OURS)}"
            raise ClusterError(message)
        found[name] = path
    return found

"""buildah, run so that all it keeps lies in the cache and nothing in the checkout."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster import mounts, programs
from localcluster.places import Places

COMPRESSION = ("--compression-format=zstd", "--compression-level=1")  # measured, see tests/cluster/README.md
CACHE_MOUNTS = "buildah-cache"  # buildah's own name for the folder
# A Dockerfile mounts the host's authorities by RUN --mount=type=secret,id=ca: nothing of them stays in the image.
CA_SECRET = "ca"
CA_BUNDLE = f"/run/secrets/{CA_SECRET}"
# Index settings of the host that a build must follow too; a Dockerfile takes them by ARG of the same name.
INDEX_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX")


@dataclass(frozen=True)
class Buildah:
    places: Places

    @property
    def storage(self) -> Path:
        return self.places.cache / "buildah"

    def run(self, *argv: str | Path, log: Path | None = None) -> str:
        """One buildah command. RUN --mount=type=cache keeps its folders below TMPDIR, and so in the cache."""
        temporary = self.storage / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        folders = (f"--root={self.storage / 'storage'}", f"--runroot={self.places.runtime / 'buildah'}")
        environ = {**os.environ, "TMPDIR": str(temporary)}
        program = ("nice", "-n", "5", "buildah", *folders, "--storage-driver=overlay")
        return programs.run(*program, *argv, environ=environ, log=log)

    def has(self, reference: str) -> bool:
        return reference in self.run("images", "--all", "--format", "{{.Name}}:{{.Tag}}").split()

    def build(
        self,
        context: Path,
        reference: str,
        arguments: Mapping[str, str],
        secrets: Mapping[str, str],
        log: Path,
    ) -> None:
        """Run a Dockerfile. Unchanged steps come from the layers of earlier builds."""
        given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        given += [word for name, file in secrets.items() for word in ("--secret", f"id={name},src={file}")]
        how = ("bud", "--isolation", "chroot", "--layers", "--format", "oci", "--pull=false")
        self.run(*how, "--file", context / "Dockerfile", "--tag", reference, *given, context, log=log)

    def from_files(self, reference: str, files: Mapping[Path, str], *config: str) -> None:
        """An image of nothing but the given files (source: target), without a Dockerfile."""
        container = self.run("from", "scratch").strip()
        try:
            for source, target in files.items():
                self.run("add", "--quiet", container, source, target)
            self.run("config", *config, container)
            self.run("commit", "--quiet", "--format", "oci", container, reference)
        finally:
            self.run("rm", container)

    def push(self, reference: str, target: str, *, plain: bool, log: Path | None = None) -> None:
        """Send the layers that are not there yet; `plain`: to a registry without TLS."""
        way = ("--tls-verify=false",) if plain else ()
        self.run("push", "--quiet", *way, *COMPRESSION, reference, f"docker://{target}", log=log)

    def tidy(self) -> None:
        """Remove what a build that was cut off has left: half-made containers and layers, gigabytes of them. The
        folders of RUN --mount=type=cache stay. Only for the holder of the lock: a running build would suffer."""
        self.run("rm", "--all")
        for path in (self.storage / "tmp").iterdir():
            if path.name != CACHE_MOUNTS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def settle(self) -> None:
        """buildah leaves its storage mounted upon itself."""
        mounts.unmount(self.storage, self.places.runtime / "buildah")


def host_settings(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """PURE: build arguments and secrets (files) by which a build trusts and asks whom the host trusts and asks."""
    arguments = {name: environ[name] for name in INDEX_SETTINGS if environ.get(name)}
    bundle = environ.get("SSL_CERT_FILE")
    if not bundle:
        return arguments, {}
    return {**arguments, "SSL_CERT_FILE": CA_BUNDLE, "PIP_CERT": CA_BUNDLE}, {CA_SECRET: bundle}


def stage(files: list[Path], folder: Path, target: Path) -> None:
    """Copy a build context. All times are one time: a fresh clone must hit the same layers as an old checkout."""
    shutil.rmtree(target, ignore_errors=True)
    for file in files:
        copy = target / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    for path in [*target.rglob("*"), target]:
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (SAME_TIME, SAME_TIME))


SAME_TIME = 1577836800  # 2020-01-01: after 1980, since zip files (wheels) know no earlier time

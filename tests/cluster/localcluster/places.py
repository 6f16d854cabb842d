"""Where things lie on disk: state that `down` removes, caches that it keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCES = (
    Path(__file__).resolve().parent.parent
)  # tests/cluster: the Go modules and the pause container's source
CHECKOUT = SOURCES.parent.parent


@dataclass(frozen=True)
class Places:
    """Three folders. Nothing is ever written into the checkout."""

    state: Path  # logs, configs, certificates, etcd, buckets: gone after `down`
    runtime: Path  # sockets and mounts, on a file system that a restart of the machine empties
    cache: Path  # what is dear to make again: binaries, images, containerd's content

    @property
    def lock(self) -> Path:
        """Beside the state and not in it, since `down` removes the state while it holds the lock."""
        return self.state.with_name(self.state.name + ".lock")

    @property
    def images_lock(self) -> Path:
        """A lock of its own: building is long, and in nobody's way."""
        return self.state.with_name("finetune-images.lock")

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def processes(self) -> Path:
        return self.state / "processes"

    @property
    def certificates(self) -> Path:
        return self.state / "certificates"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "admin.kubeconfig"

    @property
    def binaries(self) -> Path:
        return self.cache / "bin"

    @property
    def caches(self) -> tuple[Path, ...]:
        """What `down --purge` removes: ours alone, since other parts of the project have caches in the same folder."""
        return tuple(self.cache / name for name in ("bin", "go", "buildah", "containerd", "registry"))

    def benchmark(self) -> "Places":
        """The places of the control plane for benchmarks: the same cache, a state of its own."""
        return Places(
            state=self.state.with_name(self.state.name + "-kwok"),
            runtime=self.runtime.with_name(self.runtime.name + "-kwok"),
            cache=self.cache,
        )


def places(environ: Mapping[str, str]) -> Places:
    """The folders for this user; `XDG_CACHE_HOME` moves the cache."""
    home = Path(environ.get("HOME", "/"))
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    return Places(
        state=Path("/var/tmp/finetune-cluster"),
        runtime=Path("/run/finetune-cluster"),
        cache=cache / "finetune-operator",
    )

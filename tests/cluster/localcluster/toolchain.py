"""The programs a cluster is made of: Debian packages, and Go modules built from source."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import content, programs
from localcluster.errors import ClusterError
from localcluster.places import SOURCES, Places
from localcluster.steps import Steps

KUBERNETES = "v1.35.4"  # as in tests/cluster/kube/go.mod
HELM = "v4.3.1"
KUEUE_VERSION = "v0.19.2"  # as in tests/cluster/tools/kueue/go.mod
VERSION = "k8s.io/component-base/version"

# A program that proves the package is there, and the package.
DEBIAN = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "docker-registry": "docker-registry",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "openssl": "openssl",
    "gcc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
    "conntrack": "conntrack",
    "git": "git",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}

MONITORING = {"promtool": "prometheus"}
"""For the tests of alerts and dashboards alone."""


@dataclass(frozen=True)
class Build:
    """One `go build` in one module."""

    folder: Path
    package: str
    binary: str
    cost: str  # cold, on two cores
    names: tuple[str, ...] = ()  # further names for the binary
    variables: Mapping[str, str] = field(default_factory=dict)  # set at link time

    @property
    def flags(self) -> tuple[str, ...]:
        settings = [f"-X {name}={value}" for name, value in self.variables.items()]
        return (
            "-trimpath",
            "-buildvcs=false",
            "-mod=readonly",
            "-ldflags",
            " ".join(["-s", "-w", *settings]),
        )

    @property
    def key(self) -> str:
        """Changes with the sources, the pinned versions and the flags."""
        files = [path for path in self.folder.iterdir() if path.suffix in {".go", ".mod", ".sum"}]
        return content.of_files(self.folder, files, self.package, *self.flags)


# Without a version kubectl and Helm refuse the API server ("could not parse pre-release/metadata").
_KUBERNETES_VERSION = {
    f"{VERSION}.gitVersion": KUBERNETES,
    f"{VERSION}.gitMajor": "1",
    f"{VERSION}.gitMinor": "35",
    f"{VERSION}.gitTreeState": "clean",
}
DAEMONS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet")

BUILDS = (
    Build(SOURCES / "kube", ".", "kubernetes", "4 to 9 min", DAEMONS, _KUBERNETES_VERSION),
    Build(SOURCES / "kube", "k8s.io/kubernetes/cmd/kubectl", "kubectl", "40 s", (), _KUBERNETES_VERSION),
    Build(
        SOURCES / "tools/versitygw", "github.com/versity/versitygw/cmd/versitygw", "versitygw", "1 to 2 min"
    ),
    Build(SOURCES / "tools/coredns", "github.com/coredns/coredns", "coredns", "2 to 5 min"),
    Build(
        SOURCES / "tools/helm",
        "helm.sh/helm/v4/cmd/helm",
        "helm",
        "2 to 4 min",
        (),
        {"helm.sh/helm/v4/internal/version.version": HELM},
    ),
    Build(SOURCES / "tools/kwok", "sigs.k8s.io/kwok/cmd/kwok", "kwok", "1 to 3 min"),
)
KUEUE = Build(
    SOURCES / "tools/kueue",
    "sigs.k8s.io/kueue/cmd/kueue",
    "kueue",
    "3 to 6 min",
    (),
    {"sigs.k8s.io/kueue/pkg/version.GitVersion": KUEUE_VERSION},
)
"""An optional part: built when it is first asked for, not by `up`."""
HEALTH = Build(SOURCES / "tools/health", ".", "health", "2 to 4 min")
"""What kstatus, Argo CD and Flux say of an object; for `make test-gitops` alone."""
PEERS = (
    Build(
        SOURCES / "tools/trainer",
        "github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager",
        "trainer-controller-manager",
        "1 to 3 min",
    ),
    Build(SOURCES / "tools/jobset", "sigs.k8s.io/jobset", "jobset", "1 to 3 min"),
)
"""Kubeflow Trainer and the JobSet below it; for `make bench-peer` alone."""
TOOLS = (
    "kubectl",
    "helm",
    "kwok",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "versitygw",
)


def ensure(places: Places, steps: Steps) -> None:
    """Have every program on this machine."""
    ensure_packages(places, steps)
    for build in BUILDS:
        ensure_built(places, build, steps)


def require_root() -> None:
    """Anybody else is told what the machine lacks, and not by a traceback."""
    if os.geteuid() != 0:
        message = "the cluster needs root (network namespaces, mounts, cgroups)"
        lacking = packages_missing() + ([] if shutil.which("go") else ["Go 1.26 or later"])
        raise ClusterError(message + (f"; missing besides: {', '.join(lacking)}" if lacking else ""))


def ensure_packages(places: Places, steps: Steps, wanted: Mapping[str, str] = DEBIAN) -> None:
    """Install Debian packages; on a machine that is not Debian say what is missing and give up."""
    needed = packages_missing(wanted)
    if needed and shutil.which("apt-get") is None:
        message = (
            f"this machine has no apt-get; install what Debian calls {', '.join(needed)}, then run `up` again"
        )
        raise ClusterError(message)
    if needed:
        log = places.logs / "apt.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        # RUNLEVEL: containerd and docker-registry come as services, which we do not want to have started.
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        with steps.step(f"install Debian packages as root: {' '.join(needed)}", "about 20 s"):
            # Lists that are empty or old name no package, or one that is gone; that one source of many
            # cannot be reached is no reason to give up.
            programs.succeeds("apt-get", "update")
            programs.run(
                "apt-get", "install", "--yes", "--no-install-recommends", *needed, environ=environ, log=log
            )
    if shutil.which("go") is None:
        message = "the Go compiler is missing: install Go 1.26 or later and put `go` on the PATH"
        raise ClusterError(message)


def packages_missing(wanted: Mapping[str, str] = DEBIAN) -> list[str]:
    """Debian packages whose programs are not there."""
    return [
        package
        for proof, package in wanted.items()
        if not (Path(proof).exists() if proof[0] == "/" else shutil.which(proof))
    ]


def ensure_built(places: Places, build: Build, steps: Steps) -> Path:
    """The binary, built unless the same one is in the cache; under its plain name in `places.binaries` too."""
    kept = places.cache / "go" / f"{build.binary}-{build.key}" / build.binary
    if not kept.exists():
        log = places.logs / f"build-{build.binary}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(".new")
        # No cgo: static binaries. nice: the cores are shared with whoever works here.
        environ = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""}
        with steps.step(f"build {build.binary} from Go source", f"cold {build.cost}, cached 0 s"):
            argv = ("nice", "-n", "10", "go", "build", *build.flags, "-o", str(unfinished), build.package)
            programs.run(
                *argv,
                environ=environ,
                cwd=build.folder,
                log=log,
                advice="The Go module proxy must be within reach.",
            )
            unfinished.rename(kept)
    places.binaries.mkdir(parents=True, exist_ok=True)
    for name in (build.binary, *build.names):
        _link(places.binaries / name, kept)
    return kept


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    unfinished = link.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(target)
    unfinished.replace(link)

"""What the programs leave in places that nobody can choose: found and removed, others' left alone."""

from collections.abc import Iterable
from pathlib import Path

from localcluster import mounts, probes

POD_LOG_LINKS = Path("/var/log/containers")  # kubelet
SHIM_SOCKETS = Path("/run/containerd/s")  # containerd
NETWORK_RESULTS = Path("/var/lib/cni/results")  # the library of network plug-ins
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")  # kubelet, wherever its --root-dir is
NAMESPACES = Path("/run/netns")  # the ip program
SYSTEM = {Path("/run"), Path("/var/log"), Path("/var/lib")}  # not ours to remove, however empty


def remove(runtime: Path) -> None:
    """Remove traces of a cluster whose run-time folder this is. Its processes are gone by now."""
    _delete(link for link in _entries(POD_LOG_LINKS) if link.is_symlink() and not link.exists())
    # A killed shim leaves its socket; others' shims listen on theirs.
    _delete(socket for socket in _entries(SHIM_SOCKETS) if not _listens(socket))
    _delete(
        result for result in _entries(NETWORK_RESULTS) if f"{runtime}/" in result.read_text(errors="replace")
    )
    if not _listens(DEVICE_PLUGINS / "kubelet.sock"):  # else another kubelet runs here
        _delete(DEVICE_PLUGINS / name for name in ("kubelet.sock", "kubelet_internal_checkpoint"))
    if not _entries(NAMESPACES):  # `ip netns add` mounts the folder upon itself
        mounts.unmount(NAMESPACES)
    for folder in (POD_LOG_LINKS, SHIM_SOCKETS, NETWORK_RESULTS, DEVICE_PLUGINS, NAMESPACES):
        _remove_empty(folder)
        _remove_empty(folder.parent)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not _entries(folder) and folder not in SYSTEM:
        folder.rmdir()


def _listens(socket: Path) -> bool:
    return probes.unix_socket(str(socket))()


def _delete(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []

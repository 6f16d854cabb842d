"""Down: stop what was started, remove what was made, then look for what is left."""

import shutil
import time
from pathlib import Path

from localcluster import addresses, cgroups, daemons, mounts, networks, nodes, probes, processes, programs
from localcluster.addresses import Node
from localcluster.nodes import Host
from localcluster.places import Places
from localcluster.steps import Steps

PATIENCE = 3  # seconds for the kernel to finish with cgroups and namespaces whose processes are gone


def down(places: Places, steps: Steps, *, purge: bool) -> list[str]:
    """Leave nothing behind but caches, and not even them with `purge`. What could not be removed, as sentences."""
    with steps.step("stop the cluster", "about 5 s"):
        remove(places)
    if purge:
        with steps.step(f"remove the caches in {places.cache}", "a few seconds"):
            for folder in places.caches:
                shutil.rmtree(folder, ignore_errors=True)
    with steps.step("look for leftovers", "under 1 s") as step:
        deadline = time.monotonic() + PATIENCE
        while (found := left_over(places)) and time.monotonic() < deadline:
            time.sleep(0.2)
        step.note = f"{len(found)} found" if found else "none"
    return found


def remove(places: Places) -> None:
    """Stop all daemons, nodes first and the control plane after them, and remove state, mounts, namespaces, cgroups."""
    for node in reversed([Node(number) for number in range(1, addresses.MOST_NODES + 1)]):
        if node in nodes.started(places) or networks.exists(node):
            _remove_node(places, node)
    stop_all(places)
    networks.remove(addresses.FIRST)
    mounts.unmount(places.state, places.runtime, places.cache)
    for folder in (places.state, places.runtime):
        shutil.rmtree(folder, ignore_errors=True)
    _remove_dead_links(Path("/var/log/containers"))
    _remove_dead_sockets(Path("/run/containerd/s"))


def stop_all(places: Places) -> None:
    """Stop every daemon on record; the API server and etcd last, since the others talk to them to their end."""
    last = ("kube-apiserver", "etcd")
    for name in [name for name in daemons.names(places) if name not in last] + [*last]:
        daemons.stop(places, name)


def left_over(places: Places) -> list[str]:
    """What a clean machine would not have."""
    found = [
        f"process {pid}: {argv}" for pid, argv in processes.mentioning(places.state, places.runtime).items()
    ]
    for namespace in networks.NAMESPACES.glob("finetune-node*"):
        found += [
            f"process {pid} in {namespace.name}: {argv}" for pid, argv in processes.inside(namespace).items()
        ]
    found += [f"mount {point}" for point in mounts.below(places.state, places.runtime, places.cache)]
    found += networks.left_over() + cgroups.left_over()
    found += [f"folder {folder}" for folder in (places.state, places.runtime) if folder.exists()]
    if shutil.which("iptables-save"):
        rules = programs.run("iptables-save").splitlines()
        found += [f"iptables rule {rule}" for rule in rules if "198.18." in rule or "198.19." in rule]
    return found


def _remove_node(places: Places, node: Node) -> None:
    # The control plane's daemons live in node 1's namespace: it is deleted when they have stopped.
    if node == addresses.FIRST:
        nodes.remove(Host(node, places), keep_network=True)
    else:
        nodes.remove(Host(node, places))


def _remove_dead_links(folder: Path) -> None:
    """The kubelet writes links to pods' logs to a fixed place."""
    if folder.is_dir():
        for link in folder.iterdir():
            if link.is_symlink() and not link.exists():
                link.unlink(missing_ok=True)


def _remove_dead_sockets(folder: Path) -> None:
    """A killed shim leaves its socket, also at a fixed place; others' shims listen on theirs."""
    if folder.is_dir():
        for socket in folder.iterdir():
            if not probes.unix_socket(str(socket))():
                socket.unlink(missing_ok=True)

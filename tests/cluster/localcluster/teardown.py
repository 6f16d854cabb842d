"""Down: stop what was started, remove what was made, then look for what is left."""

import shutil
import time

from localcluster import (
    addresses,
    cgroups,
    daemons,
    mounts,
    networks,
    nodes,
    processes,
    programs,
    toolchain,
    traces,
)
from localcluster.addresses import Node
from localcluster.nodes import Host
from localcluster.places import Places
from localcluster.steps import Steps

PROGRAMS = (
    "containerd",
    "containerd-shim-runc-v2",
    "coredns",
    "docker-registry",
    "jobset",
    "kwok",
    "runc",
    "trainer-controller-manager",
    "versitygw",
)
PATIENCE = 3  # seconds for the kernel to finish with cgroups and namespaces whose processes are gone


def down(places: Places, steps: Steps, *, purge: bool) -> list[str]:
    """Leave nothing behind but caches, and not even them with `purge`. What could not be removed, as sentences."""
    with steps.step("stop the cluster", "about 5 s"):
        remove(places)
    if purge:
        with steps.step(f"remove the caches in {places.cache}", "a few seconds"):
            for folder in places.caches:
                if folder.exists():
                    shutil.rmtree(folder)
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
    traces.remove(places.runtime)


def stop_all(places: Places) -> None:
    """Stop every daemon on record; the API server and etcd last, since the others talk to them to their end."""
    last = ("kube-apiserver", "etcd")
    for name in [name for name in daemons.names(places) if name not in last] + [*last]:
        daemons.stop(places, name)


def left_over(places: Places) -> list[str]:
    """What a clean machine would not have."""
    found = processes_left_over(places)
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


def processes_left_over(places: Places) -> list[str]:
    """Programs of ours that still work in our folders."""
    ours = frozenset({*toolchain.DAEMONS, *PROGRAMS})
    found = processes.of_programs(ours, places.state, places.runtime)
    return [f"process {pid}: {argv}" for pid, argv in found.items()]


def _remove_node(places: Places, node: Node) -> None:
    # The control plane's daemons live in node 1's namespace: it is deleted when they have stopped.
    if node == addresses.FIRST:
        nodes.remove(Host(node, places), keep_network=True)
    else:
        nodes.remove(Host(node, places))

"""Up: from whatever is there (nothing, a healthy cluster, half a dead one) to a cluster that works."""

import json

from localcluster import (
    addresses,
    daemons,
    dns,
    gpus,
    images,
    networks,
    nodes,
    registry,
    s3,
    teardown,
    toolchain,
)
from localcluster.addresses import Node
from localcluster.control_plane import ControlPlane, of_cluster
from localcluster.errors import ClusterError
from localcluster.nodes import Host
from localcluster.places import Places
from localcluster.steps import Steps


def up(places: Places, count: int, gpu_count: int, steps: Steps) -> None:
    """Have a cluster with at least `count` nodes; those that are there already stay."""
    toolchain.ensure(places, steps)
    forget_earlier_boot(places, steps)
    plane = of_cluster(places, places.binaries)
    here = nodes.started(places)
    wanted = here + [
        node for node in (Node(number) for number in range(1, addresses.MOST_NODES + 1)) if node not in here
    ]
    first, *others = sorted(wanted[: max(count, len(here))], key=lambda node: node.number)
    with steps.step("network of node1", "under 1 s") as step:
        made = networks.ensure(first)
        if made:  # whatever still runs sits in a namespace that nobody can reach any more
            teardown.stop_all(places)
        step.note = "made" if made else "was there"
    plane.ensure(steps)
    _services(places, plane, steps)
    pause = images.Pause(places, steps)
    for node in (first, *others):
        if node != first and networks.ensure(node):
            nodes.stop(Host(node, places))
        nodes.ensure(Host(node, places), plane, pause.reference, steps)
        if gpus.remembered(places, node) is None:
            gpus.remember(places, node, gpu_count if node == first else 0)
        pretended = gpus.ensure(places, plane.api(), node)
        steps.say(f"{node.name} is Ready at {node.address} with {pretended} pretended GPUs")


def add_node(places: Places, gpu_count: int, steps: Steps) -> Node:
    """One more node; the lowest free number."""
    here = nodes.started(places)
    free = [
        node for node in (Node(number) for number in range(1, addresses.MOST_NODES + 1)) if node not in here
    ]
    if not free:
        message = f"{addresses.MOST_NODES} nodes are the most"
        raise ClusterError(message)
    node, plane = free[0], of_cluster(places, places.binaries)
    networks.ensure(node)
    nodes.ensure(Host(node, places), plane, images.Pause(places, steps).reference, steps)
    gpus.set_count(places, plane.api(), node, gpu_count)
    return node


def remove_node(places: Places, name: str, steps: Steps) -> None:
    """Take a node away, with its pods and its Node object."""
    node = _present(places, name)
    if node == addresses.FIRST:
        message = "node1 carries the control plane: `down` is how it goes"
        raise ClusterError(message)
    with steps.step(f"remove {name}", "about 2 s"):
        nodes.remove(Host(node, places))
        of_cluster(places, places.binaries).api().delete(f"/api/v1/nodes/{name}")


def kill_node(places: Places, name: str, steps: Steps) -> None:
    """A node dies at once. `up` brings it back."""
    with steps.step(f"kill kubelet, containerd, shims and pods of {name}", "about 1 s"):
        nodes.kill(Host(_present(places, name), places))


def require(places: Places) -> None:
    """Complain if `up` has not been run."""
    if not nodes.started(places):
        message = "no cluster is up: run `up` first"
        raise ClusterError(message)


def forget_earlier_boot(places: Places, steps: Steps) -> None:
    """After a restart of the machine nothing of the old cluster lives: its state would only mislead."""
    file = places.state / "boot.json"
    now = daemons.boot()
    if file.exists() and json.loads(file.read_text()) != now:
        steps.say("the machine was restarted since the last `up`: starting afresh, caches stay")
        teardown.remove(places)
    if not file.exists():
        for folder in (places.state, places.runtime, places.logs):
            folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(now))


def _services(places: Places, plane: ControlPlane, steps: Steps) -> None:
    """What is on node 1 beside the control plane."""
    with steps.step("image registry", "about 1 s") as step:
        step.note = _word(daemons.ensure(places, registry.daemon(places))) + f" at {addresses.REGISTRY}"
    with steps.step("S3 server", "about 1 s") as step:
        step.note = (
            _word(daemons.ensure(places, s3.daemon(places, places.binaries))) + f" at {addresses.S3_ENDPOINT}"
        )
        s3.ensure_bucket(places, places.binaries, s3.BUCKET)
        s3.ensure_account(places.binaries, s3.STRANGER)
    with steps.step("CoreDNS", "about 1 s") as step:
        dns.allow(plane.api())
        step.note = _word(daemons.ensure(places, dns.daemon(plane)))


def _present(places: Places, name: str) -> Node:
    node = addresses.node(name)
    if node not in nodes.started(places):
        message = f"there is no {name}; `info` lists the nodes"
        raise ClusterError(message)
    return node


def _word(started: bool) -> str:  # noqa: FBT001
    return "started" if started else "was running"

"""A control plane alone, with kwok playing nodes and pods: the ground for benchmarks. On loopback, beside the cluster."""

import shutil
from pathlib import Path
from typing import Any

from localcluster import daemons, peer, probes, teardown, toolchain
from localcluster.control_plane import ControlPlane, Ports
from localcluster.daemons import Daemon
from localcluster.places import SOURCES, Places
from localcluster.steps import Steps

ADDRESS = "127.0.0.1"
PORTS = Ports(
    api=26443, etcd=22379, etcd_peers=22380, etcd_metrics=22381, controller_manager=20257, scheduler=20259
)
KWOK_PORT = 20247
STAGES = SOURCES / "tools" / "kwok" / "stages.yaml"
CAPACITY = {"cpu": "1k", "memory": "1Ti", "pods": "1M", "nvidia.com/gpu": "100k"}
BUILT = ("kubernetes", "kubectl", "kwok", "helm")


def plane(places: Places) -> ControlPlane:
    """Client rates high enough that the controllers under test are what limits, not Kubernetes' own."""
    return ControlPlane(
        places=places,
        binaries=places.binaries,
        address=ADDRESS,
        namespace=None,
        ports=PORTS,
        request_rate=300,
        extra_api=(
            "--endpoint-reconciler-type=none",
        ),  # refuses to publish a loopback address, every ten seconds
    )


def up(places: Places, stages: Path, count: int, steps: Steps, *, with_peer: bool = False) -> dict[str, Any]:
    """Have it running with `count` pretended nodes, and the peer where asked for; what a benchmark needs to know."""
    for build in toolchain.BUILDS:
        if build.binary in BUILT:
            toolchain.ensure_built(places, build, steps)
    control = plane(places)
    control.ensure(steps)
    with steps.step(f"kwok with {count} nodes", "about 1 s"):
        daemons.ensure(places, kwok(control, stages))
        add_nodes(control, count)
    if with_peer:
        peer.up(control, steps)
    known = {name: daemons.record(places, name) for name in daemons.names(places)}
    return {
        "kubeconfig": str(places.kubeconfig),
        "server": control.server,
        "pids": {name: record.pid for name, record in known.items() if record},
        "logs": str(places.logs),
        "tools": {name: str(places.binaries / name) for name in ("kubectl", "helm")},
    }


def kwok(control: ControlPlane, stages: Path) -> Daemon:
    places = control.places
    return Daemon(
        name="kwok",
        argv=(
            str(control.binaries / "kwok"),
            f"--kubeconfig={places.kubeconfig}",
            f"--config={places.state / 'stages.yaml'}",
            "--manage-all-nodes=true",
            f"--server-address={ADDRESS}:{KWOK_PORT}",
            "--node-lease-duration-seconds=40",
        ),
        files={places.state / "stages.yaml": stages.read_text()},
        # kwok makes ~/.kwok on its own; it shall do so where `down` removes it.
        environ={"KWOK_WORKDIR": str(places.state / "kwok"), "HOME": str(places.state)},
        ready=probes.page(f"http://{ADDRESS}:{KWOK_PORT}/healthz"),
    )


def down(places: Places, steps: Steps) -> list[str]:
    """Stop it and forget all objects; what could not be removed."""
    with steps.step("stop the control plane for benchmarks", "about 2 s"):
        teardown.stop_all(places)
        for folder in (places.state, places.runtime):
            shutil.rmtree(folder, ignore_errors=True)
    return teardown.processes_left_over(places)


def add_nodes(control: ControlPlane, count: int) -> None:
    """Pretended nodes kwok-0 and on, big enough that no benchmark fills them; kwok makes them Ready."""
    client = control.api()
    for number in range(count):
        name = f"kwok-{number}"
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"capacity": CAPACITY, "allocatable": CAPACITY},
        }
        client.apply(f"/api/v1/nodes/{name}", node)
        client.apply(f"/api/v1/nodes/{name}/status", node)

"""A node: containerd, kubelet and kube-proxy in a network namespace of their own."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcluster import addresses, cgroups, daemons, documents, mounts, networks, probes, processes, programs
from localcluster.addresses import Node
from localcluster.control_plane import NICENESS, ControlPlane
from localcluster.daemons import Daemon
from localcluster.errors import ClusterError
from localcluster.places import Places
from localcluster.steps import Steps

READY_WITHIN = 60  # seconds; usual is 1 to 5
FORGET_WITHIN = 10  # seconds
DAEMONS = ("kube-proxy", "kubelet", "containerd")  # in the order they are stopped


@dataclass(frozen=True)
class Host:
    """A node and where it keeps its things."""

    node: Node
    places: Places

    @property
    def state(self) -> Path:
        return self.places.state / self.node.name

    @property
    def runtime(self) -> Path:
        return self.places.runtime / self.node.name

    @property
    def content(self) -> Path:
        """containerd's images and layers: in the cache, so that `down` and `up` pull nothing again."""
        return self.places.cache / "containerd" / self.node.name

    @property
    def socket(self) -> Path:
        return self.runtime / "containerd.sock"

    def daemon_name(self, program: str) -> str:
        return f"{self.node.name}-{program}"

    def ctr(self, *argv: str) -> str:
        """containerd's own client, in the namespace that Kubernetes uses."""
        return programs.run(*self._ctr(), *argv)

    def ctr_succeeds(self, *argv: str) -> bool:
        return programs.succeeds(*self._ctr(), *argv)

    def _ctr(self) -> tuple[str | Path, ...]:
        return ("ctr", "--address", self.socket, "--namespace", "k8s.io")


def started(places: Places) -> list[Node]:
    """The nodes of this cluster, dead ones too: those that have a state folder."""
    return sorted(
        (addresses.node(path.name) for path in places.state.glob("node[1-9]")), key=lambda node: node.number
    )


def ensure(host: Host, plane: ControlPlane, pause_image: Callable[[], str], steps: Steps) -> None:
    """Have the node running and Ready."""
    node = host.node
    host.state.mkdir(parents=True, exist_ok=True)
    cgroups.ensure(node)
    runtime = containerd(host, pause_image())
    if not daemons.alive(host.places, runtime.name):
        host.socket.unlink(missing_ok=True)  # left by a killed containerd, which would refuse to start
    with steps.step(f"{node.name}: containerd, kubelet, kube-proxy", "about 5 s") as step:
        new = daemons.ensure(host.places, runtime)
        if new and not daemons.record(host.places, host.daemon_name("kubelet")):
            forget_containers(host)
        new |= daemons.ensure(host.places, kubelet(host, plane))
        new |= daemons.ensure(host.places, kube_proxy(host, plane))
        wait_until_ready(plane, node)
        step.note = "started" if new else "was running"


def containerd(host: Host, pause_image: str) -> Daemon:
    config = host.state / "containerd.toml"
    cni, hosts = host.state / "cni", host.state / "registry-hosts"
    meaning = documents.registry_hosts(addresses.REGISTRY)
    return Daemon(
        name=host.daemon_name("containerd"),
        argv=("containerd", "--config", str(config)),
        files={
            config: documents.containerd(host.content, host.runtime, cni, hosts, pause_image),
            cni / "10-pods.conflist": documents.pod_network(host.node, host.state / "addresses"),
            hosts / addresses.REGISTRY_NAME / "hosts.toml": meaning,
            hosts / addresses.REGISTRY / "hosts.toml": meaning,
        },
        ready=probes.unix_socket(str(host.socket)),
        namespace=host.node.namespace,
    )


def kubelet(host: Host, plane: ControlPlane) -> Daemon:
    node, config, resolver = host.node, host.state / "kubelet.json", host.state / "resolv.conf"
    client = plane.authority.issue(f"kubelet-{node.name}", f"system:node:{node.name}", group="system:nodes")
    kubeconfig = plane.authority.kubeconfig(host.state / "kubelet.kubeconfig", plane.server, client)
    return Daemon(
        name=host.daemon_name("kubelet"),
        argv=(
            str(plane.binaries / "kubelet"),
            f"--config={config}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
            f"--root-dir={host.state}/kubelet",
            f"--cert-dir={host.state}/kubelet-certificates",
        ),
        files={
            config: documents.kubelet(node, host.state, host.socket, plane.authority.pair.certificate),
            resolver: f"nameserver {addresses.FIRST.address}\n",
        },
        ready=probes.port(node.address, 10250),
        namespace=node.namespace,
        niceness=NICENESS,
    )


def kube_proxy(host: Host, plane: ControlPlane) -> Daemon:
    node = host.node
    client = plane.authority.issue("kube-proxy", "system:kube-proxy")
    kubeconfig = plane.authority.kubeconfig(
        plane.places.state / "kube-proxy.kubeconfig", plane.server, client
    )
    return Daemon(
        name=host.daemon_name("kube-proxy"),
        argv=(
            str(plane.binaries / "kube-proxy"),
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={node.name}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={addresses.POD_CIDR}",
            f"--healthz-bind-address={node.address}:10256",
            f"--metrics-bind-address={node.address}:10249",
            # The table of connections belongs to the whole machine: its settings may not, and need not, be changed here.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ),
        ready=probes.page(f"http://{node.address}:10256/livez"),
        namespace=node.namespace,
        niceness=NICENESS,
    )


def wait_until_ready(plane: ControlPlane, node: Node) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        items = {item["metadata"]["name"]: item for item in plane.api().get("/api/v1/nodes")["items"]}
        conditions = items.get(node.name, {}).get("status", {}).get("conditions", [])
        ready = [condition for condition in conditions if condition["type"] == "Ready"]
        if ready and ready[0]["status"] == "True":
            return
        if time.monotonic() > deadline:
            why = ready[0]["message"] if ready else "it has not registered"
            log = plane.places.logs / f"{node.name}-kubelet.log"
            message = f"{node.name} is not Ready after {READY_WITHIN} s: {why}. Last lines of {log}:\n{programs.last_lines(log)}"
            raise ClusterError(message)
        time.sleep(0.2)


def forget_containers(host: Host) -> None:
    """Remove every container of an earlier cluster that containerd still knows; images stay."""
    deadline = time.monotonic() + FORGET_WITHIN
    while containers := host.ctr("containers", "list", "--quiet").split():
        # Most have no task any more, which ctr calls an error; what counts is that no container is left in the end.
        host.ctr_succeeds("tasks", "delete", "--force", *containers)
        if not host.ctr_succeeds("containers", "delete", *containers):
            if time.monotonic() > deadline:
                message = f"containerd of {host.node.name} keeps containers of an earlier cluster; `down`, then `up`"
                raise ClusterError(message)
            time.sleep(0.2)


def kill(host: Host) -> None:
    """As a power cut would: kubelet, containerd, shims and pods end by SIGKILL; nobody tells the API server."""
    for program in ("kubelet", "containerd", "kube-proxy"):
        daemons.kill(host.places, host.daemon_name(program))
    processes.kill(processes.shims(host.socket))
    cgroups.kill(host.node)


def stop(host: Host) -> None:
    """End the node's daemons in good order."""
    for program in DAEMONS:
        daemons.stop(host.places, host.daemon_name(program))


def remove(host: Host, *, keep_network: bool = False) -> None:
    """Stop the node and remove all that is left of it on this machine, but for its images."""
    for program in ("kube-proxy", "kubelet"):
        daemons.stop(host.places, host.daemon_name(program))
    cgroups.kill(host.node)
    if daemons.alive(host.places, host.daemon_name("containerd")):
        forget_containers(host)
    daemons.stop(host.places, host.daemon_name("containerd"))
    processes.kill(processes.shims(host.socket))
    cgroups.kill(host.node)
    mounts.unmount(host.state, host.runtime, host.content)
    if not keep_network:
        networks.remove(host.node)
    cgroups.remove(host.node)
    for folder in (host.state, host.runtime):
        shutil.rmtree(folder, ignore_errors=True)

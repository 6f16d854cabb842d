"""The address plan. All of it is 198.18.0.0/15, which RFC 2544 sets aside for benchmarks: no real network has it.

Node 1 hangs on the host, every other node hangs on node 1:

    host 198.18.0.1 --- 198.18.0.2 node1 198.18.1.1 --- 198.18.1.2 node2
                                         198.18.2.1 --- 198.18.2.2 node3

Pods of node N live in 198.19.(N-1).0/24. The host has a route to all of it by node 1, so that tests reach pods directly.
"""

from dataclasses import dataclass

from localcluster.errors import ClusterError

EVERYTHING = "198.18.0.0/15"
POD_CIDR = "198.19.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"  # seen inside the namespaces only
API_SERVICE = "10.96.0.1"  # the first address of SERVICE_CIDR, as the API server picks it
DOMAIN = "cluster.local"
MOST_NODES = 9


@dataclass(frozen=True)
class Node:
    """One network namespace that plays a host."""

    number: int  # from 1

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def namespace(self) -> str:
        return f"finetune-{self.name}"

    @property
    def address(self) -> str:
        return f"198.18.{self.number - 1}.2"

    @property
    def gateway(self) -> str:
        """The other end of the node's cable: the host for node 1, node 1 for the others."""
        return f"198.18.{self.number - 1}.1"

    @property
    def cable(self) -> str:
        """The name of the interface that holds the gateway's address (15 characters at most)."""
        return f"finetune{self.number}"

    @property
    def pod_cidr(self) -> str:
        return f"198.19.{self.number - 1}.0/24"


FIRST = Node(1)  # carries the control plane, the registry, the S3 server and DNS

API_PORT = 6443
REGISTRY_PORT = 5000
S3_PORT = 7070

API_SERVER = f"https://{FIRST.address}:{API_PORT}"
REGISTRY = f"{FIRST.address}:{REGISTRY_PORT}"
REGISTRY_NAME = (
    "registry.test"  # what pods write before the image's name; containerd is told what it stands for
)
S3_ENDPOINT = f"http://{FIRST.address}:{S3_PORT}"


def node(name: str) -> Node:
    """The node called `name`."""
    number = name.removeprefix("node")
    if name.startswith("node") and number.isdecimal() and 1 <= int(number) <= MOST_NODES:
        return Node(int(number))
    message = f"no node can be called {name!r}: nodes are node1 to node{MOST_NODES}"
    raise ClusterError(message)

"""Pretended GPUs: the real scheduler and kubelet count them; a pod that asks for one gets nothing but the place."""

import json
from pathlib import Path

from localcluster import api
from localcluster.addresses import Node
from localcluster.api import Api
from localcluster.errors import ClusterError
from localcluster.places import Places

RESOURCE = "nvidia.com/gpu"
CAPACITY = "/status/capacity/nvidia.com~1gpu"  # ~1 is JSON Pointer's slash


def remember(places: Places, node: Node, count: int) -> None:
    """A kubelet that starts anew reports none: `ensure` restores what is remembered here."""
    _file(places, node).write_text(json.dumps(count))


def remembered(places: Places, node: Node) -> int | None:
    return int(json.loads(_file(places, node).read_text())) if _file(places, node).exists() else None


def ensure(places: Places, client: Api, node: Node) -> int:
    """Have the node report what is remembered; the number."""
    count = remembered(places, node) or 0
    capacity = client.get(f"/api/v1/nodes/{node.name}")["status"].get("capacity", {})
    if int(capacity.get(RESOURCE, 0)) != count:
        client.patch(
            f"/api/v1/nodes/{node.name}/status", [{"op": "add", "path": CAPACITY, "value": str(count)}]
        )
    return count


def set_count(places: Places, client: Api, node: Node, count: int) -> None:
    if count < 0:
        message = f"{count} GPUs cannot be pretended: give a number from 0"
        raise ClusterError(message)
    try:
        client.get(f"/api/v1/nodes/{node.name}")
    except api.ApiError as error:
        message = f"there is no {node.name}; `info` lists the nodes, `add-node` adds one"
        raise ClusterError(message) from error
    remember(places, node, count)
    ensure(places, client, node)


def _file(places: Places, node: Node) -> Path:
    return places.state / node.name / "gpus.json"

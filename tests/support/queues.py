"""Queues of two tenants that share four pretended GPUs, as an admin makes them (docs/kueue.md)."""

from typing import Any

Manifest = dict[str, Any]
VERSION = "kueue.x-k8s.io/v1beta2"
GPU = "nvidia.com/gpu"
QUEUE = "gpus"


def flavor() -> Manifest:
    """One kind of machine."""
    return _object("ResourceFlavor", "any", {})


def cluster_queue(name: str, gpus: int, **spec: Any) -> Manifest:
    """So many GPUs; whoever is more urgent may take them from whoever is less."""
    quota = {"cpu": "8", "memory": "64Gi", GPU: str(gpus)}
    resources = [{"name": resource, "nominalQuota": most} for resource, most in quota.items()]
    group = {"coveredResources": list(quota), "flavors": [{"name": "any", "resources": resources}]}
    usual = {
        "namespaceSelector": {},
        "resourceGroups": [group],
        "preemption": {"withinClusterQueue": "LowerPriority"},
    }
    return _object("ClusterQueue", name, {**usual, **spec})


def local_queue(namespace: str, cluster_queue: str, **spec: Any) -> Manifest:
    """A tenant's door to it."""
    found = _object("LocalQueue", QUEUE, {"clusterQueue": cluster_queue, **spec})
    found["metadata"]["namespace"] = namespace
    return found


def priority(name: str, value: int) -> Manifest:
    """How urgent a job is."""
    found = _object("WorkloadPriorityClass", name, {})
    del found["spec"]
    return {**found, "value": value}


def _object(kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}

"""What tests and people need to know about the cluster, as one JSON object."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcluster import addresses, nodes, s3, toolchain
from localcluster.errors import ClusterError
from localcluster.places import Places

CURRENT = (
    "FINETUNE_REGISTRY",
    "FINETUNE_S3_ENDPOINT",
    "FINETUNE_S3_BUCKET",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)


def local(places: Places) -> dict[str, Any]:
    """About the cluster that `up` made."""
    return {
        "kubeconfig": str(places.kubeconfig),
        "server": addresses.API_SERVER,
        "registry": {"push": addresses.REGISTRY, "pull": addresses.REGISTRY_NAME},
        "s3": {
            "endpoint": addresses.S3_ENDPOINT,
            "region": s3.REGION,
            "bucket": s3.BUCKET,
            "accessKey": s3.OWNER.access_key,
            "secretKey": s3.OWNER.secret_key,
            "stranger": {"accessKey": s3.STRANGER.access_key, "secretKey": s3.STRANGER.secret_key},
            "folder": str(s3.folder(places)),
        },
        "nodes": [{"name": node.name, "address": node.address} for node in nodes.started(places)],
        "tools": {name: str(places.binaries / name) for name in toolchain.TOOLS},
        "logs": str(places.logs),
        "cache": str(places.cache),
    }


def current(environ: Mapping[str, str], places: Places) -> dict[str, Any]:
    """The same about somebody else's cluster, from the environment (CLUSTER=current)."""
    require(environ, *CURRENT)
    kubeconfig = environ.get("KUBECONFIG") or str(Path(environ.get("HOME", "/")) / ".kube/config")
    tools = installed(environ, places)
    if missing := [name for name in ("kubectl", "helm") if name not in tools]:
        message = f"CLUSTER=current: {' and '.join(missing)} cannot be found; put it on the PATH"
        raise ClusterError(message)
    return {
        "kubeconfig": kubeconfig,
        "server": None,
        "registry": {"push": environ["FINETUNE_REGISTRY"], "pull": environ["FINETUNE_REGISTRY"]},
        "s3": {
            "endpoint": environ["FINETUNE_S3_ENDPOINT"],
            "region": environ.get("AWS_REGION", s3.REGION),
            "bucket": environ["FINETUNE_S3_BUCKET"],
            "accessKey": environ["AWS_ACCESS_KEY_ID"],
            "secretKey": environ["AWS_SECRET_ACCESS_KEY"],
            "stranger": None,
            "folder": None,
        },
        "nodes": [],
        "tools": tools,
        "logs": None,
        "cache": str(places.cache),
    }


def installed(environ: Mapping[str, str], places: Places) -> dict[str, str]:
    """The programs that were built here before, else those on the PATH."""
    found = {}
    for name in toolchain.TOOLS:
        built = places.binaries / name
        there = str(built) if os.access(built, os.X_OK) else shutil.which(name, path=environ.get("PATH"))
        if there:
            found[name] = there
    return found


def registry(environ: Mapping[str, str]) -> str:
    """Where images of somebody else's cluster go; `info` asks for more variables than building needs."""
    require(environ, "FINETUNE_REGISTRY")
    return environ["FINETUNE_REGISTRY"]


def require(environ: Mapping[str, str], *names: str) -> None:
    """Complain about variables that are not set."""
    lacking = [name for name in names if not environ.get(name)]
    if lacking:
        message = f"CLUSTER=current: set {', '.join(lacking)} (tests/cluster/README.md says what they are)"
        raise ClusterError(message)

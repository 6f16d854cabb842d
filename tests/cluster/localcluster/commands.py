"""What each command does. Progress goes to standard error, JSON to standard output; the result is the exit code."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from localcluster import (
    addresses,
    benchmark,
    cluster,
    control_plane,
    gpus,
    images,
    information,
    kueue,
    locking,
    programs,
    pruning,
    s3,
    teardown,
    toolchain,
)
from localcluster.building import Buildah
from localcluster.errors import ClusterError
from localcluster.places import Places
from localcluster.steps import Steps


@dataclass(frozen=True)
class Call:
    """One run of one command."""

    options: argparse.Namespace
    places: Places
    environ: Mapping[str, str]
    steps: Steps

    @property
    def current(self) -> bool:
        """Whether the cluster is somebody else's, named by the current kubeconfig."""
        return self.environ.get("CLUSTER", "local") == "current"


def up(call: Call) -> int:
    """Start or repair."""
    if call.current:
        return nothing_to_do(call)
    toolchain.require_root()
    with locking.turn(call.places.lock, call.steps):
        cluster.up(call.places, call.options.nodes, call.options.gpus, call.steps)
    places = call.places
    call.steps.say(f"the cluster is up: export KUBECONFIG={places.kubeconfig} PATH={places.binaries}:$PATH")
    return 0


def down(call: Call) -> int:
    """Stop and remove."""
    if call.current:
        return nothing_to_do(call)
    toolchain.require_root()
    # A build holds mounts that `down` would take away under it.
    with locking.turn(call.places.lock, call.steps), locking.turn(call.places.images_lock, call.steps):
        return report(teardown.down(call.places, call.steps, purge=call.options.purge))


def add_node(call: Call) -> int:
    """One node more; its name is printed."""
    with running(call):
        print(cluster.add_node(call.places, call.options.gpus, call.steps).name)
    return 0


def remove_node(call: Call) -> int:
    """One node less."""
    with running(call):
        cluster.remove_node(call.places, call.options.name, call.steps)
    return 0


def kill_node(call: Call) -> int:
    """One node dead."""
    with running(call):
        cluster.kill_node(call.places, call.options.name, call.steps)
    return 0


def pretend_gpus(call: Call) -> int:
    """Set a node's number of GPUs."""
    with running(call):
        client = control_plane.of_cluster(call.places, call.places.binaries).api()
        gpus.set_count(call.places, client, addresses.node(call.options.node), call.options.count)
    return 0


def info(call: Call) -> int:
    """Print where everything is."""
    if not call.current:
        cluster.require(call.places)
    found = information.current(call.environ, call.places) if call.current else information.local(call.places)
    print(json.dumps(found, indent=2))
    return 0


def build_images(call: Call) -> int:
    """Build and push; a lock of its own, since it is long and in nobody's way."""
    if call.current and programs.missing(["buildah"]):
        raise ClusterError("the program buildah is missing; Debian has it in the package of that name")
    if not call.current:
        toolchain.require_root()
        cluster.require(call.places)
    registry = information.registry(call.environ) if call.current else addresses.REGISTRY
    work = images.Work(
        buildah=Buildah(call.places),
        registry=registry,
        local=not call.current,
        environ=call.environ,
        steps=call.steps,
    )
    with locking.turn(call.places.images_lock, call.steps):
        tags = work.build_all(images.wanted(call.options.image))
    prefix = registry if call.current else addresses.REGISTRY_NAME
    print(json.dumps({name: f"{prefix}/{name}:{tag}" for name, tag in tags.items()}))
    return 0


def prune(call: Call) -> int:
    """Remove images of earlier code; the build's lock, since a build would lose its layers."""
    with running(call), locking.turn(call.places.images_lock, call.steps):
        base = call.environ.get("BASE_IMAGE") or images.debian_base(Buildah(call.places), call.steps)
        kept = frozenset(
            f"{name}:{images.tag_of(name, folder, base)}" for name, folder in images.OURS.items()
        )
        pruning.Pruning(places=call.places, kept=kept, steps=call.steps).everywhere()
    return 0


def s3_bucket(call: Call) -> int:
    """Make a bucket."""
    with running(call):
        s3.ensure_bucket(call.places, call.places.binaries, call.options.bucket, call.options.owner)
    return 0


def s3_account(call: Call) -> int:
    """Make an account."""
    with running(call):
        account = s3.Account(call.options.access_key, call.options.secret_key)
        s3.ensure_account(call.places.binaries, account)
    return 0


def kwok_control_plane(call: Call) -> int:
    """The second control plane, for benchmarks: always a local one."""
    places = call.places.benchmark()
    with locking.turn(places.lock, call.steps):
        if call.options.action == "down":
            return report(benchmark.down(places, call.steps))
        options = call.options
        found = benchmark.up(places, options.stages, options.nodes, call.steps, with_peer=options.peer)
    print(json.dumps(found, indent=2))
    return 0


def install_kueue(call: Call) -> int:
    """Install it, or remove it."""
    with running(call):
        (kueue.up if call.options.action == "up" else kueue.down)(call.places, call.steps)
    return 0


def running(call: Call) -> locking.Turn:
    """A turn at changing the local cluster, which must be up."""
    if call.current:
        raise ClusterError(
            f"{call.options.command} changes the local cluster; with CLUSTER=current there is none"
        )
    toolchain.require_root()
    cluster.require(call.places)
    return locking.turn(call.places.lock, call.steps)


def nothing_to_do(call: Call) -> int:
    """CLUSTER=current: somebody else's cluster is neither started nor stopped."""
    call.steps.say(
        f"CLUSTER=current: {call.options.command} does nothing to the current kubeconfig's cluster"
    )
    return 0


def report(left_over: list[str]) -> int:
    """The exit code of a teardown."""
    for item in left_over:
        print(f"left over: {item}", file=sys.stderr)
    return 1 if left_over else 0

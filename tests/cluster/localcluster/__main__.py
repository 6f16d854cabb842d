"""A real Kubernetes on one machine, without Docker. Progress goes to standard error, JSON to standard output."""

import argparse
import json
import os
import sys

from localcluster import addresses, benchmark, cluster, control_plane, gpus, images, information, nodes, s3, teardown, toolchain
from localcluster.errors import ClusterError
from localcluster.locking import turn
from localcluster.places import Places, places
from localcluster.steps import Steps

EPILOG = """\
The cluster's state is in /var/tmp/finetune-cluster, its caches in ~/.cache/finetune-operator (XDG_CACHE_HOME moves them).
CLUSTER=current: use the cluster of the current kubeconfig instead; tests/cluster/README.md says which variables to set.
"""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="localcluster", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    up = command("up", "start the cluster, or repair what is not healthy; a healthy one is left alone")
    up.add_argument("--nodes", type=int, default=1, help="how many nodes there shall be at least (default 1)")
    up.add_argument("--gpus", type=int, default=8, help="pretended GPUs of node1 when it is new (default 8)")
    down = command("down", "stop everything and remove it; exit code 1 if anything is left over")
    down.add_argument("--purge", action="store_true", help="remove the caches too: the next `up` builds for a quarter of an hour")
    add = command("add-node", "add one more node; its name is printed")
    add.add_argument("--gpus", type=int, default=0, help="pretended GPUs of the new node (default 0)")
    command("remove-node", "remove a node, with its pods and its Node object").add_argument("name")
    command("kill-node", "kill a node as a power cut would; `up` brings it back").add_argument("name")
    count = command("gpus", "set how many nvidia.com/gpu a node pretends to have")
    count.add_argument("count", type=int)
    count.add_argument("--node", default="node1")
    command("info", "print where everything is, as one JSON object")
    build = command("images", "build and push images; their references are printed as JSON on the last line")
    build.add_argument("image", nargs="*", metavar="NAME[=FOLDER]", help="default: operator and trainer, as far as they have a Dockerfile")
    bucket = command("s3-bucket", "make a bucket")
    bucket.add_argument("bucket")
    bucket.add_argument("--owner", default=s3.OWNER.access_key, help="access key of the account that owns it (default: the administrator)")
    account = command("s3-account", "make an account that may use its own buckets only")
    account.add_argument("access_key")
    account.add_argument("secret_key")
    kwok = command("kwok-control-plane", "a second control plane without nodes, for benchmarks: kwok plays nodes and pods")
    kwok.add_argument("action", choices=("up", "down"))
    return parser


def main(words: list[str]) -> int:
    options = arguments().parse_args(words)
    environ = dict(os.environ)
    steps, here = Steps(), places(environ)
    try:
        if options.command == "kwok-control-plane":
            return benchmarks(options.action, here.benchmark(), steps)
        if environ.get("CLUSTER", "local") == "current":
            return current(options, here, steps, environ)
        return local(options, here, steps, environ)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def local(options: argparse.Namespace, here: Places, steps: Steps, environ: dict[str, str]) -> int:
    """Commands on our own cluster."""
    if options.command == "info":
        show(information.local(here))
        return 0
    if options.command == "images":  # long, and in nobody's way: a lock of its own
        with turn(here.lock.with_name("finetune-images.lock"), steps):
            made_up(here)
            return build(options.image, here, addresses.REGISTRY, addresses.REGISTRY_NAME, environ, steps)
    with turn(here.lock, steps):
        match options.command:
            case "up":
                cluster.up(here, options.nodes, options.gpus, steps)
                steps.say(f"the cluster is up: export KUBECONFIG={here.kubeconfig} PATH={here.binaries}:$PATH")
            case "down":
                return report(teardown.down(here, steps, purge=options.purge))
            case "add-node":
                print(cluster.add_node(here, options.gpus, steps).name)
            case "remove-node":
                cluster.remove_node(here, options.name, steps)
            case "kill-node":
                cluster.kill_node(here, options.name, steps)
            case "gpus":
                client = control_plane.of_cluster(here, here.binaries).api()
                gpus.set_count(here, client, addresses.node(options.node), options.count)
            case "s3-bucket":
                s3.ensure_bucket(here, here.binaries, options.bucket, options.owner)
            case "s3-account":
                s3.ensure_account(here.binaries, s3.Account(options.access_key, options.secret_key))
    return 0


def current(options: argparse.Namespace, here: Places, steps: Steps, environ: dict[str, str]) -> int:
    """Commands with CLUSTER=current: somebody else's cluster is neither started nor stopped."""
    match options.command:
        case "up" | "down":
            steps.say(f"CLUSTER=current: {options.command} does nothing, the cluster is the current kubeconfig's")
        case "info":
            show(information.current(environ, here))
        case "images":
            registry = information.current(environ, here)["registry"]["push"]
            toolchain.ensure_packages(here, steps)
            return build(options.image, here, registry, registry, environ, steps)
        case other:
            message = f"{other} changes the local cluster, which CLUSTER=current is not"
            raise ClusterError(message)
    return 0


def build(pairs: list[str], here: Places, push: str, pull: str, environ: dict[str, str], steps: Steps) -> int:
    tags = images.build_all(here, push, images.named(pairs), environ, steps)
    print(json.dumps({name: f"{pull}/{tag}" for name, tag in tags.items()}))
    return 0


def benchmarks(action: str, here: Places, steps: Steps) -> int:
    with turn(here.lock, steps):
        if action == "down":
            return report(benchmark.down(here, steps))
        show(benchmark.up(here, steps))
    return 0


def made_up(here: Places) -> None:
    if not nodes.started(here):
        message = "no cluster is up: run `up` first"
        raise ClusterError(message)


def report(left_over: list[str]) -> int:
    """The exit code of a teardown."""
    for item in left_over:
        print(f"left over: {item}", file=sys.stderr)
    return 1 if left_over else 0


def show(document: object) -> None:
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A real Kubernetes on one machine, without Docker. Progress goes to standard error, JSON to standard output."""

import argparse
import os
import sys
from pathlib import Path

from localcluster import benchmark, commands, places, s3
from localcluster.commands import Call
from localcluster.errors import ClusterError
from localcluster.steps import Steps

EPILOG = """\
State lies in /var/tmp/finetune-cluster, caches in ~/.cache/finetune-operator (XDG_CACHE_HOME moves them).
CLUSTER=current: use the current kubeconfig's cluster instead; tests/cluster/README.md says what to set.
"""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="localcluster",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = every.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    up = command(
        "up", commands.up, "start the cluster, or repair what is not healthy; a healthy one is left alone"
    )
    up.add_argument("--nodes", type=int, default=1, help="how many nodes there shall be at least (default 1)")
    up.add_argument("--gpus", type=int, default=8, help="pretended GPUs of node1 when it is new (default 8)")
    down = command(
        "down", commands.down, "stop everything and remove it; exit code 1 if anything is left over"
    )
    down.add_argument(
        "--purge", action="store_true", help="remove the caches too: the next `up` takes a quarter of an hour"
    )
    add = command("add-node", commands.add_node, "add one more node; its name is printed")
    add.add_argument("--gpus", type=int, default=0, help="pretended GPUs of the new node (default 0)")
    remove = command("remove-node", commands.remove_node, "remove a node, with its pods and its Node object")
    remove.add_argument("name")
    kill = command("kill-node", commands.kill_node, "kill a node as a power cut would; `up` brings it back")
    kill.add_argument("name")
    count = command("gpus", commands.pretend_gpus, "set how many nvidia.com/gpu a node pretends to have")
    count.add_argument("count", type=int)
    count.add_argument("--node", default="node1")
    command("info", commands.info, "print where everything is, as one JSON object")
    build = command(
        "images", commands.build_images, "build and push images; the last line is JSON, reference by name"
    )
    what = "default: operator and trainer, as far as they have a Dockerfile"
    build.add_argument("image", nargs="*", metavar="NAME[=FOLDER]", help=what)
    command("prune", commands.prune, "remove images of earlier code; those of this checkout stay")
    bucket = command("s3-bucket", commands.s3_bucket, "make a bucket")
    bucket.add_argument("bucket")
    bucket.add_argument(
        "--owner", default=s3.OWNER.access_key, help="access key of its owner (default: the administrator)"
    )
    account = command("s3-account", commands.s3_account, "make an account that may use its own buckets only")
    account.add_argument("access_key")
    account.add_argument("secret_key")
    queues = command(
        "kueue", commands.install_kueue, "install Kueue: queues, quota, preemption; or remove it"
    )
    queues.add_argument("action", choices=("up", "down"))
    text = "a second control plane without nodes, for benchmarks: kwok plays nodes and pods"
    kwok = command("kwok-control-plane", commands.kwok_control_plane, text)
    kwok.add_argument("action", choices=("up", "down"))
    kwok.add_argument("--nodes", type=int, default=10, help="pretended nodes (default 10)")
    kwok.add_argument(
        "--stages", type=Path, default=benchmark.STAGES, help="a kwok configuration: what becomes of pods"
    )
    kwok.add_argument(
        "--peer", action="store_true", help="start Kubeflow Trainer and JobSet too, for bench_peer.py"
    )
    return parser


def main(words: list[str]) -> int:
    """Run one command; its exit code."""
    options = arguments().parse_args(words)
    # Debian keeps half of what we call in sbin, which not every shell of root has on its search path.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
    environ = dict(os.environ)
    try:
        code: int = options.run(Call(options, places.places(environ), environ, Steps()))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Options that several commands share, as kubectl calls them."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import click

from kubectl_finetune.cluster import Cluster

Command = Callable[..., Any]
Connect = Callable[[], Cluster]


def to_cluster_if_needed(command: Command) -> Command:
    """`command` is called with `cluster`, a function that connects: what needs no cluster asks for none."""

    @click.option("-n", "--namespace", metavar="NAME", help="Namespace (the kubeconfig's).")
    @click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
    @click.option("--kubeconfig", metavar="FILE", help="Another kubeconfig.")
    @functools.wraps(command)
    def connected(*, namespace: str | None, context: str | None, kubeconfig: str | None, **given: Any) -> Any:
        def connect() -> Cluster:
            return Cluster.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)

        return command(cluster=connect, **given)

    return connected


def to_cluster(command: Command) -> Command:
    """`command` is called with `cluster`, which nobody has spoken to yet."""

    @to_cluster_if_needed
    @functools.wraps(command)
    def connected(*, cluster: Connect, **given: Any) -> Any:
        return command(cluster=cluster(), **given)

    return connected


def output(command: Command) -> Command:
    """`-o json`, given to `command` as `json_wanted`."""

    @click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        help="For people, or for programs.",
    )
    @functools.wraps(command)
    def formed(*, form: str, **given: Any) -> Any:
        return command(json_wanted=form == "json", **given)

    return formed


def job_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of FineTuneJobs for the shell's completion; none where the cluster does not answer."""
    with contextlib.suppress(Exception):
        given = {name: context.params.get(name) for name in ("kubeconfig", "context", "namespace")}
        names = [job["metadata"]["name"] for job in Cluster.connect(**given).jobs()]
        return [name for name in names if name.startswith(incomplete)]
    return []


def job(command: Command) -> Command:
    """The argument NAME, completed by the shell."""
    return click.argument("name", metavar="NAME", shell_complete=job_names)(command)

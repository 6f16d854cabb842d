"""Options that several commands share, as kubectl calls them."""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kubectl_finetune import errors
from kubectl_finetune.cluster import Cluster
from kubectl_finetune.local.folder import StandIns, keys

Command = Callable[..., Any]
Connect = Callable[..., Cluster]


def to_cluster_if_needed(command: Command) -> Command:
    """`command` is called with `cluster`, a function that connects: what needs no cluster asks for none.

    It may be given the namespace that a file names, which counts where none was typed.
    """

    @click.option("-n", "--namespace", metavar="NAME", help="Namespace; default: the kubeconfig's.")
    @click.option("--context", metavar="NAME", help="Context of the kubeconfig to use.")
    @click.option("--kubeconfig", metavar="FILE", help="Kubeconfig file to use.")
    @functools.wraps(command)
    def connected(*, namespace: str | None, context: str | None, kubeconfig: str | None, **given: Any) -> Any:
        def connect(of_file: str | None = None) -> Cluster:
            return Cluster.connect(kubeconfig=kubeconfig, context=context, namespace=namespace or of_file)

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
        help="Output for people (text) or for programs (json).",
    )
    @functools.wraps(command)
    def formed(*, form: str, **given: Any) -> Any:
        return command(json_wanted=form == "json", **given)

    return formed


def stand_ins(command: Command) -> Command:
    """`--secret`, `--claim` and `--configmap`, given to `command` as `at_hand`."""

    @click.option(
        "--secret",
        multiple=True,
        callback=_pairs,
        metavar="NAME=FILE",
        help="File with a Secret's keys, one KEY=VALUE on each line.",
    )
    @click.option(
        "--claim",
        multiple=True,
        callback=_pairs,
        metavar="NAME=DIR",
        help="The folder that stands for pvc://NAME.",
    )
    @click.option(
        "--configmap",
        multiple=True,
        callback=_pairs,
        metavar="NAME=DIR",
        help="The folder that stands for configmap://NAME.",
    )
    @functools.wraps(command)
    def equipped(
        *, secret: dict[str, Path], claim: dict[str, Path], configmap: dict[str, Path], **given: Any
    ) -> Any:
        secrets = {name: keys(file) for name, file in secret.items()}
        return command(at_hand=StandIns(secrets, claim, configmap), **given)

    return equipped


def _pairs(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, Path]:
    """NAME=PATH, each."""
    found = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or not name or not path:
            raise errors.Mistake(
                f"--{option.name} {one}: is not NAME=PATH; write it like --{option.name} data=./folder"
            )
        found[name] = Path(path)
    return found


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

"""Options that several commands share, as kubectl calls them."""

import contextlib
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from finetune_operator.api.base import JOB_NAME
from kubectl_finetune import errors
from kubectl_finetune.cluster import Cluster
from kubectl_finetune.local.folder import StandIns, keys

Command = Callable[..., Any]
OBJECT_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
"""Of a Secret, a claim, a ConfigMap."""
COMPLETION = (2, 3)
"""Seconds that somebody waits who presses Tab."""


@dataclass(frozen=True)
class Connect:
    """How to reach the cluster; called by what needs one."""

    kubeconfig: str | None
    context: str | None
    namespace: str | None
    """As it was typed."""

    def __call__(self, of_file: str | None = None) -> Cluster:
        """Nothing is asked of it yet. `of_file`: the namespace that a file names, which counts where none was typed."""
        if of_file and self.namespace and of_file != self.namespace:
            raise errors.Mistake(
                f"metadata.namespace is {of_file!r}, and -n says {self.namespace!r}; leave one of them out"
            )
        return Cluster.connect(
            kubeconfig=self.kubeconfig, context=self.context, namespace=self.namespace or of_file
        )


def to_cluster_if_needed(command: Command) -> Command:
    """`command` is called with `cluster`, which connects when it is called: what needs no cluster asks for none."""

    @click.option("-n", "--namespace", metavar="NAME", help="Namespace; default: the kubeconfig's.")
    @click.option("--context", metavar="NAME", help="Context of the kubeconfig to use.")
    @click.option("--kubeconfig", metavar="FILE", help="Kubeconfig file to use.")
    @functools.wraps(command)
    def connected(*, namespace: str | None, context: str | None, kubeconfig: str | None, **given: Any) -> Any:
        return command(cluster=Connect(kubeconfig, context, namespace), **given)

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


class Folder(click.ParamType[Path]):
    """A path, completed as a folder; an empty one is mostly a variable that nobody has set."""

    name = "folder"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path that it says."""
        if not str(value):
            self.fail("an empty path is no folder", param, ctx)
        return Path(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Left to the shell."""
        del ctx, param
        return [CompletionItem(incomplete, type="dir")]


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
        if not equals or not re.fullmatch(OBJECT_NAME, name) or not path:
            raise errors.Mistake(
                f"--{option.name} {one}: is not NAME=PATH; write it like --{option.name} data=./folder"
            )
        found[name] = Path(path)
    return found


def job_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of FineTuneJobs for the shell's completion; none where the cluster does not answer."""
    with contextlib.suppress(Exception):
        given = {name: context.params.get(name) for name in ("kubeconfig", "context", "namespace")}
        names = [job["metadata"]["name"] for job in Cluster.connect(**given, patience=COMPLETION).jobs()]
        return [name for name in names if name.startswith(incomplete)]
    return []


def job(command: Command) -> Command:
    """The argument NAME, completed by the shell."""
    return job_called("name", "NAME")(command)


def job_called(argument: str, metavar: str) -> Callable[[Command], Command]:
    """The same under another name."""
    return click.argument(argument, metavar=metavar, shell_complete=job_names, callback=_job_name)


def _job_name(_: click.Context, argument: click.Parameter, said: str) -> str:
    """An empty one is mostly a variable that nobody has set."""
    if not re.fullmatch(JOB_NAME, said):
        raise errors.Mistake(f"{argument.metavar}: {said!r} is not the name of a FineTuneJob; correct it")
    return said

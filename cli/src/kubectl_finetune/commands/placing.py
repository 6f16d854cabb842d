"""What `chat` and `serve` talk with, and where: in a pod beside the job, or on this machine."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from kubectl_finetune import bucket, errors, screen
from kubectl_finetune.cluster import Cluster
from kubectl_finetune.commands import options
from kubectl_finetune.commands.looking import keys_of, published_at
from kubectl_finetune.talking import here, in_cluster, server
from kubectl_finetune.talking import result as results
from kubectl_finetune.talking.result import Result
from kubectl_finetune.views.job import Job

Start = Callable[[str, int], AbstractContextManager[server.Server]]
"""Starts the server, reached at that address and port of this machine."""

POD = {
    "gpus": (click.IntRange(0), "N", "GPUs for the pod; default: one if the job has any."),
    "cpu": (str, "CPUS", "CPUs for the pod; default: those of the training pod."),
    "memory": (str, "SIZE", "Memory for the pod; default: that of the training pod."),
    "image": (str, "IMAGE", "Trainer image for the pod; default: the job's."),
}
"""Flags of the pod: fields of the plan, how they are read, what they are."""


def which(command: options.Command) -> options.Command:
    """The argument RESULT, and where it is talked with."""
    for name, (kind, metavar, told) in reversed(POD.items()):
        command = click.option(f"--{name}", type=kind, metavar=metavar, help=told)(command)
    for option in (
        click.option(
            "--in-cluster/--here",
            default=None,
            help="In a pod of its own beside the job, or on this machine; a job's default is the pod.",
        ),
        click.option("--base", metavar="DIR|URI", help="The base model, if it is not where the result says."),
    ):
        command = option(command)
    return click.argument("place", metavar="RESULT", shell_complete=options.job_names)(command)


def start(
    cluster: options.Connect, place: str, base: str | None, *, inside: bool | None, pod: dict[str, Any]
) -> Start:
    """How to start it: a pod for a job of the cluster, unless it shall be here; this machine for a folder."""
    is_folder = Path(place).is_dir()
    if is_folder and inside:
        raise errors.Mistake(f"--in-cluster: {place} is a folder on this machine; name a job in the cluster")
    if is_folder or inside is False:
        if given := [f"--{name}" for name in POD if pod[name] is not None]:
            raise errors.Mistake(
                f"{given[0]} is for the pod only; leave it out, or name a job and use --in-cluster"
            )
        return _start_here(result_of(cluster, place), base)
    if base is not None:
        raise errors.Mistake("--base: the pod uses the job's base model; leave it out, or use --here")
    known = cluster()
    job = Job.of(known.job(place))
    published_at(job)
    return lambda host, port: in_cluster.serving(known, job, host=host, port=port, **pod)


def _start_here(result: Result, base: str | None) -> Start:
    model = results.base_of(result, base)
    return lambda host, port: here.serving(result, model, host=host, port=port)


def result_of(cluster: options.Connect, place: str) -> Result:
    """The result in the folder of that name, or of the job of that name in the cluster."""
    if Path(place).is_dir():
        return results.at(Path(place))
    return _fetched(cluster(), place)


def _fetched(cluster: Cluster, name: str) -> Result:
    """The job's result, in the user's cache: what is there already is not fetched again."""
    job = Job.of(cluster.job(name))
    uri = published_at(job)
    if uri.startswith(results.FILE):
        return results.at(Path(uri.removeprefix(results.FILE)))
    digest = (job.status.adapter.digest if job.status.adapter else job.uid).rpartition(":")[2]
    folder = _cache() / f"{name}-{digest[:16]}"
    if not (folder / results.MANIFEST).is_file():
        screen.note(f"fetching {uri} ...")
        bucket.fetch(uri, keys_of(cluster, job), folder, last=results.MANIFEST)
    return results.at(folder)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubectl-finetune"

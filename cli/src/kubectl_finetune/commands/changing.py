"""Commands that change a job: suspend, resume, retry."""

import copy
import re
from collections.abc import Iterable

import click

from finetune_operator.api.job import MAX_NAME_LENGTH
from kubectl_finetune import errors, screen
from kubectl_finetune.cluster import Cluster, Object
from kubectl_finetune.commands import options
from kubectl_finetune.job import manifest
from kubectl_finetune.views.job import Job

NOT_KEPT = ("kubectl.kubernetes.io/", "argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/",
            "meta.helm.sh/", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance")  # fmt: skip
"""Labels and annotations by which somebody else takes the first job for theirs."""
NUMBERED = re.compile(r"^(?P<stem>.*?)(?:-(?P<number>[0-9]+))?$")


@click.command()
@options.job
@options.output
@options.to_cluster
def suspend(cluster: Cluster, name: str, *, json_wanted: bool) -> None:
    """Pause a job: it saves a checkpoint and gives its GPUs back."""
    _set_suspend(cluster, name, to=True, json_wanted=json_wanted)


@click.command()
@options.job
@options.output
@options.to_cluster
def resume(cluster: Cluster, name: str, *, json_wanted: bool) -> None:
    """Let a suspended job go on from its last checkpoint."""
    _set_suspend(cluster, name, to=False, json_wanted=json_wanted)


def _set_suspend(cluster: Cluster, name: str, *, to: bool, json_wanted: bool) -> None:
    job = Job.of(cluster.job(name))
    if job.settled:
        raise errors.Mistake(
            f"{name} has ended ({job.state}); only a job that has not ended can be suspended or resumed; `kubectl "
            f"finetune retry {name}` runs it again"
        )
    changed = cluster.patch(name, {"spec": {"runPolicy": {"suspend": to}}})
    if json_wanted:
        screen.as_json(changed)
    elif job.suspended == to:
        screen.say(f"{name} is suspended already" if to else f"{name} is not suspended, so nothing changes")
    elif to:
        screen.say(
            f"{name} saves a checkpoint and gives its GPUs back; `kubectl finetune resume {name}` lets it go on"
        )
    else:
        screen.say(f"{name} goes on; `kubectl finetune watch {name}` follows it")


@click.command()
@options.job
@click.option("--as", "new_name", metavar="NEW", help="Name of the new job; default: NAME-2, NAME-3, ...")
@click.option("--from-checkpoint", is_flag=True, help="Go on from the failed job's last checkpoint.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="What to change: training.learningRate=0.0001; =null removes a field.",
)
@click.option("--dry-run", is_flag=True, help="Print the YAML and create nothing.")
@options.output
@options.to_cluster
def retry(
    cluster: Cluster,
    name: str,
    *,
    new_name: str | None,
    from_checkpoint: bool,
    settings: tuple[str, ...],
    dry_run: bool,
    json_wanted: bool,
) -> None:
    """Run an ended job again, under a new name."""
    job = Job.of(cluster.job(name))
    if not job.settled:
        raise errors.NotYet(
            f"{name} has not ended yet ({job.state}); wait until it ends, or create a changed copy of its YAML: kubectl finetune "
            "create NEW -f FILE"
        )
    if from_checkpoint and job.succeeded:
        raise errors.Mistake(
            f"--from-checkpoint: {name} has succeeded, so there is no checkpoint left to go on from; leave the flag out"
        )
    taken = {one["metadata"]["name"] for one in cluster.jobs()}
    new = again(job, new_name or next_name(name, taken), from_checkpoint=from_checkpoint)
    manifest.changed(new["spec"], settings)
    manifest.checked(new)
    if dry_run:
        screen.as_json(new) if json_wanted else screen.say(manifest.text(new).rstrip())
        return
    made = cluster.create(new)
    if json_wanted:
        screen.as_json(made)
    else:
        called, output = made["metadata"]["name"], made["spec"]["output"]["uri"]
        screen.say(
            f"{called} is created, its result goes to {output}; `kubectl finetune watch {called}` follows it"
        )


def next_name(name: str, taken: set[str]) -> str:
    """`NAME-2`, or the next number that is free; a long name is cut so that the number fits."""
    found = NUMBERED.match(name)
    stem, number = (found["stem"], int(found["number"] or 1)) if found else (name, 1)
    while True:
        number += 1
        ending = f"-{number}"
        new = stem[: MAX_NAME_LENGTH - len(ending)] + ending
        if new not in taken:
            return new


def again(job: Job, name: str, *, from_checkpoint: bool) -> Object:
    """The manifest of the same job under another name, with an output of its own: one result, one prefix."""
    spec = copy.deepcopy(job.spec)
    output = spec["output"]
    parent, _, last = output["uri"].rstrip("/").rpartition("/")
    mine = last == job.name or last.endswith(f"-{job.name}")  # or names of earlier ones stand there for ever
    output["uri"] = f"{parent}/{last.removesuffix(job.name)}{name}" if mine else f"{parent}/{last}-{name}"
    spec.get("runPolicy", {}).pop("suspend", None)
    if from_checkpoint:
        spec.setdefault("checkpoint", {})["resumeFrom"] = {"jobRef": {"name": job.name}}
    new = manifest.of(name, spec)
    metadata = job.raw["metadata"]
    for kind in ("labels", "annotations"):
        kept = {
            key: value for key, value in (metadata.get(kind) or {}).items() if not key.startswith(NOT_KEPT)
        }
        if kept:
            new["metadata"][kind] = kept
    return new


COMMANDS: Iterable[click.Command] = (suspend, resume, retry)

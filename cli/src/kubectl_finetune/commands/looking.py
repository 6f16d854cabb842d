"""Commands that look and change nothing: list, status, watch, logs, diff, report."""

import contextlib
import time
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from finetune_operator import names
from kubectl_finetune import bucket, errors, following, screen
from kubectl_finetune.cluster import Cluster, Object
from kubectl_finetune.commands import options
from kubectl_finetune.views import curve, difference, listing, status
from kubectl_finetune.views.job import Job

REPORT = "report.html"
PREPARE = "prepare"
LOOK = 1.0
"""Seconds between two looks for a job's next pod."""
CURVE_LINES = 2000
"""Lines of a log that are read for the curve; the trainer writes one in five seconds."""


def now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


@click.command(name="list")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="In all namespaces.")
@options.output
@options.to_cluster
def list_jobs(cluster: Cluster, *, everywhere: bool, json_wanted: bool) -> None:
    """All FineTuneJobs and how far they are."""
    jobs = cluster.jobs(everywhere=everywhere)
    if json_wanted:
        screen.as_json({"items": jobs})
    elif not jobs:
        where = "anywhere" if everywhere else f"in the namespace {cluster.namespace!r}"
        screen.note(f"no FineTuneJobs {where}; `kubectl finetune create` makes one")
    else:
        screen.show(listing.table(jobs, now(), namespaces=everywhere))


@click.command(name="status", short_help="One job on one screen, and what to do next.")
@options.job
@click.option("--full", is_flag=True, help="All of it, even if it is more than fits on the screen.")
@options.output
@options.to_cluster
def status_of(cluster: Cluster, name: str, *, full: bool, json_wanted: bool) -> None:
    """One job on one screen: conditions, progress, curve, result, and what to do next.

    In a pipe it prints all of it, on a terminal as much as fits.
    """
    raw = cluster.job(name)
    if json_wanted:
        screen.as_json(raw)
        return
    job = Job.of(raw)
    console = screen.console()
    height = None if full or not console.is_terminal else console.height - 1  # and the prompt below
    screen.show(status.screen(job, now(), points=_points(cluster, job), width=console.width, height=height))


def _points(cluster: Cluster, job: Job) -> list[curve.Point]:
    """The losses that the logs of training tell. None where they are gone, or may not be read: the curve is an extra."""
    try:
        pods = _stage(cluster.pods(job.uid), "train")
        return curve.points(line for pod in pods for line in cluster.log(_name(pod), tail=CURVE_LINES))
    except errors.CliError:
        return []


@click.command()
@options.job
@options.output
@options.to_cluster
def watch(cluster: Cluster, name: str, *, json_wanted: bool) -> None:
    """Follow a job to its end. Exit code 0 if it succeeds, 1 if it fails."""
    last = None
    try:
        with following.follower(lambda job: _points(cluster, job), json_wanted=json_wanted) as show:
            for raw in cluster.watch(name, lost=lambda why: screen.note(f"{why}; watching goes on")):
                last = Job.of(raw)
                show.tell(last)
                if last.settled:
                    break
    except KeyboardInterrupt:
        raise errors.Stopped(
            f"stopped watching; {name} itself goes on (`kubectl finetune suspend {name}` suspends it)"
        ) from None
    if last is not None and not last.succeeded:
        raise errors.JobFailed(f"{last.name} has failed: {following.ending(last, json_wanted=json_wanted)}")


@click.command(short_help="The log of a job's newest pod.")
@options.job
@click.option("-f", "--follow", is_flag=True, help="Follow the log as it grows, from pod to pod.")
@click.option(
    "--stage", type=click.Choice([PREPARE, "train"]), help="Stage whose log to show (the newest pod's)."
)
@click.option("--tail", type=click.IntRange(0), metavar="N", help="The last N lines.")
@options.to_cluster
def logs(cluster: Cluster, name: str, *, follow: bool, stage: str | None, tail: int | None) -> None:
    """The log of a job's newest pod, or with -f of each pod from then on until the job has ended."""
    job = Job.of(cluster.job(name))
    pods = _stage(cluster.pods(job.uid), stage)
    if follow and (pods or not job.settled):
        for line in _followed(cluster, job, stage, tail):
            screen.say(line)
        return
    if not pods:
        kind = f"{stage} pods" if stage else "pods"
        if job.settled:
            raise errors.NotThere(
                f"{name} has no {kind} any more, and their logs are gone with them ({': '.join(job.says)}); "
                f"`kubectl finetune status {name}` says how it ended"
            )
        raise errors.NotYet(
            f"{name} has no {kind} yet ({': '.join(job.says)}); `kubectl finetune watch {name}` follows the job"
        )
    for line in cluster.log(_name(pods[-1]), tail=tail):
        screen.say(line)


def _followed(cluster: Cluster, job: Job, stage: str | None, tail: int | None) -> Iterator[str]:
    """The lines of the newest pod, and of each that comes after it; where there is none yet it is waited for."""
    shown: set[str] = set()
    told = False
    while True:
        over = job.settled or (stage == PREPARE and job.truth("Prepared") == "True")
        pods = [pod for pod in _stage(cluster.pods(job.uid), stage) if _name(pod) not in shown]
        new = [pod for pod in pods if _has_started(pod)]
        for pod in new if shown else new[-1:]:
            with contextlib.suppress(errors.NotYet, errors.NotThere):  # removed meanwhile
                yield from cluster.log(_name(pod), follow=True, tail=tail)
        shown |= {_name(pod) for pod in new}
        if over:
            return
        if not shown and not told:
            screen.note(f"waiting for a pod of {job.name} to start ({': '.join(job.says)}) ...")
            told = True
        time.sleep(LOOK)
        job = Job.of(cluster.job(job.name))


def _has_started(pod: Object) -> bool:
    """Whether it has a log: an API server answers nothing at all for a pod without a node."""
    found = (pod.get("status") or {}).get("containerStatuses") or []
    return any(one.get("state", {}).keys() & {"running", "terminated"} for one in found)


def _stage(pods: Sequence[Object], stage: str | None) -> list[Object]:
    return [pod for pod in pods if stage in {None, pod["metadata"].get("labels", {}).get(names.STAGE)}]


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


@click.command()
@options.job_called("first", "A")
@options.job_called("second", "B")
@options.output
@options.to_cluster
def diff(cluster: Cluster, first: str, second: str, *, json_wanted: bool) -> None:
    """What differs between two jobs and their results."""
    found = difference.lines(Job.of(cluster.job(first)), Job.of(cluster.job(second)))
    if json_wanted:
        screen.as_json([line._asdict() for line in found])
    elif not found:
        screen.say(f"{first} and {second} ask for the same and have the same result")
    else:
        screen.show(difference.table(found, first, second))


@click.command()
@options.job
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FILE", help="File to write; default: NAME-report.html."
)
@click.option("--open/--no-open", "opened", default=True, help="Show it in the browser.")
@options.output
@options.to_cluster
def report(cluster: Cluster, name: str, *, to: Path | None, opened: bool, json_wanted: bool) -> None:
    """Fetch a job's report and open it."""
    job = Job.of(cluster.job(name))
    uri = published_at(job)
    page = bucket.read(uri, REPORT, keys_of(cluster, job))
    path = to or Path(f"{name}-{REPORT}")
    path = path / f"{name}-{REPORT}" if path.is_dir() else path
    path.write_bytes(page)
    if json_wanted:
        screen.as_json({"file": str(path), "uri": f"{uri}/{REPORT}"})
    else:
        screen.say(str(path))
    if opened and screen.interactive():
        webbrowser.open(path.absolute().as_uri())


def published_at(job: Job) -> str:
    """Where the result lies."""
    if job.status.adapter:
        return job.status.adapter.uri.rstrip("/")
    if not job.settled:
        raise errors.NotYet(
            f"{job.name} has not ended yet ({job.state}), so there is no result yet; `kubectl finetune watch {job.name}` "
            "waits for it"
        )
    raise errors.NotThere(
        f"{job.name} has published nothing, so there is no result ({': '.join(job.says)}); `kubectl finetune status {job.name}` "
        "says what to do next"
    )


def keys_of(cluster: Cluster, job: Job) -> dict[str, str]:
    """The keys of the output's Secret, where you may read it; else this machine's own identity is used."""
    secret = ((job.spec.get("output") or {}).get("credentialsSecretRef") or {}).get("name")
    if secret is None:
        return {}
    return keys_in(secret, lambda: cluster, excused=(errors.Denied, errors.NotThere))


def keys_in(
    secret: str, cluster: Callable[[], Cluster], *, excused: tuple[type[errors.CliError], ...]
) -> dict[str, str]:
    """The keys of that Secret; none, with a word of why, for what is `excused`."""
    try:
        return bucket.decoded(cluster().secret(secret))
    except excused as error:
        screen.note(f"trying with this machine's own keys instead of the Secret {secret!r}: {error}")
        return {}


COMMANDS: Iterable[click.Command] = (list_jobs, status_of, watch, logs, diff, report)

"""The command that removes what jobs have left behind: prune."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import click

from kubectl_finetune import bucket, screen
from kubectl_finetune.bucket import WorkArea
from kubectl_finetune.cluster import Cluster
from kubectl_finetune.commands import looking, options
from kubectl_finetune.views import amounts

AGE = re.compile(r"(\d+)([dh])")
UNITS = {"d": "days", "h": "hours"}


class Age(click.ParamType[timedelta]):
    """`7d` or `12h`."""

    name = "age"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """The time that it says."""
        if isinstance(value, timedelta):
            return value
        found = AGE.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not an age; write 7d or 12h", param, ctx)
        try:
            return timedelta(**{UNITS[found[2]]: int(found[1])})
        except OverflowError:
            self.fail(f"{value!r} is longer ago than any job; write 7d or 12h", param, ctx)


@click.command(short_help="Remove the work areas of jobs that are gone.")
@click.argument("uri", metavar="URI")
@click.option(
    "--secret", metavar="NAME", help="Secret with the bucket's keys; default: this machine's own identity."
)
@click.option(
    "--older-than",
    type=Age(),
    default="7d",
    metavar="AGE",
    help="Keep what was touched more recently than this; default: 7d.",
)
@click.option(
    "--this-namespace-only",
    is_flag=True,
    help="Look for jobs in this namespace only. Work areas below URI that belong to jobs of other namespaces then "
    "count as left behind, and --yes removes them.",
)
@click.option("-y", "--yes", is_flag=True, help="Remove them; without it they are only listed.")
@options.output
@options.to_cluster
def prune(
    cluster: Cluster,
    uri: str,
    *,
    secret: str | None,
    older_than: timedelta,
    this_namespace_only: bool,
    yes: bool,
    json_wanted: bool,
) -> None:
    """Remove the work areas (checkpoints, prepared rows) of jobs that are gone.

    Looks below URI, a `spec.output.uri`, a `spec.output.workUri` or a folder above many. Results are never touched. Jobs of
    another cluster that write below URI are not known here: leave those folders alone.
    """
    keys = bucket.decoded(cluster.secret(secret)) if secret else {}
    alive = {job["metadata"]["uid"] for job in cluster.jobs(everywhere=not this_namespace_only)}
    now = looking.now()
    areas = bucket.work_areas(uri, keys)
    gone = [area for area in areas if area.uid not in alive and now - area.touched >= older_than]
    if yes:
        for area in gone:
            bucket.remove(area, keys)
    if json_wanted:
        screen.as_json({"items": [_document(area) for area in gone], "removed": yes})
        return
    if not gone:
        untouched = amounts.duration(older_than.total_seconds())
        screen.note(
            f"nothing to remove: no work area below {uri} belongs to a job that is gone and has been untouched for {untouched}"
        )
        return
    _tell(gone, now, removed=yes)


def _tell(gone: Sequence[WorkArea], now: datetime, *, removed: bool) -> None:
    for area in gone:
        untouched = amounts.duration((now - area.touched).total_seconds())
        screen.say(f"{amounts.size(area.size):>9}  {untouched:>6}  {area.uri}")
    total = amounts.size(sum(area.size for area in gone))
    screen.note(f"removed {total}" if removed else f"{total} can be removed; add --yes to do it")


def _document(area: WorkArea) -> dict[str, object]:
    return {
        "uri": area.uri,
        "uid": area.uid,
        "sizeBytes": area.size,
        "lastModified": area.touched.isoformat(),
    }


COMMANDS: Iterable[click.Command] = (prune,)

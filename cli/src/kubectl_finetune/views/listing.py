"""`kubectl finetune list`: one line a job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from kubectl_finetune.views import amounts, colours
from kubectl_finetune.views.job import Job


def table(jobs: Sequence[dict[str, Any]], now: datetime, *, namespaces: bool) -> Table:
    """The jobs, the youngest last."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in [*(["NAMESPACE"] if namespaces else []), "NAME", "STATE"]:
        made.add_column(name, overflow="fold")
    for name in ("STEP", "LOSS", "ETA", "AGE"):
        made.add_column(name, no_wrap=True)
    for job in sorted(jobs, key=lambda job: job["metadata"]["creationTimestamp"]):
        made.add_row(*_row(job, now, namespaces=namespaces))
    return made


def _row(job: dict[str, Any], now: datetime, *, namespaces: bool) -> list[str | Text]:
    metadata, seen = job["metadata"], Job.of(job)
    progress, ended, state = seen.status.progress, seen.settled, seen.state
    return [
        *([metadata["namespace"]] if namespaces else []),
        metadata["name"],
        Text(state, style=colours.of(state)),
        (progress.text if progress else None) or "-",
        amounts.number(progress.loss) if progress and progress.loss is not None else "-",
        (progress.eta if progress and not ended else None) or "-",
        amounts.age(metadata["creationTimestamp"], now),
    ]

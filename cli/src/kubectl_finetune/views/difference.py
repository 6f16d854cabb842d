"""`kubectl finetune diff`: where two jobs differ, in what was asked for and in what came out."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.table import Table

from kubectl_finetune.views import amounts
from kubectl_finetune.views.job import Job

RESULTS = ("dataset", "resolved", "evaluation", "adapter", "usage", "failures", "state")
"""Parts of the status that are results; the rest are times and names."""
ALWAYS = ("status.adapter.uri", "status.adapter.digest", "status.adapter.serving", "status.dataset.advice")
"""These differ between any two jobs and say nothing."""


class Line(NamedTuple):
    """One field; None: not said there."""

    field: str
    first: Any
    second: Any


def lines(first: Job, second: Job) -> list[Line]:
    """All fields that differ, by their paths."""
    mine, theirs = _flat(first), _flat(second)
    fields = sorted(mine.keys() | theirs.keys(), key=lambda field: (field.startswith("status"), field))
    return [
        Line(field, mine.get(field), theirs.get(field))
        for field in fields
        if mine.get(field) != theirs.get(field) and not field.startswith(ALWAYS)
    ]


def table(found: list[Line], first: str, second: str) -> Table:
    """The lines for people."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    made.add_column("FIELD", no_wrap=True)
    for name in (first, second):
        made.add_column(name, overflow="fold")
    for line in found:
        made.add_row(line.field, _said(line.first), _said(line.second))
    return made


def _flat(job: Job) -> dict[str, Any]:
    status = job.raw.get("status") or {}
    return {
        **dict(_leaves("spec", job.spec)),
        **dict(_leaves("status", {name: status[name] for name in RESULTS if name in status})),
    }


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for at, inner in enumerate(value):
            yield from _leaves(f"{path}[{at}]", inner)
    else:
        yield path, value


def _said(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return amounts.number(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

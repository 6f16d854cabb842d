"""The figures of every step as tables: metrics.jsonl as they were logged, metrics.csv with one line for each step. Pure."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from finetune_trainer import report

FIRST = ("step", "epoch", "loss", "learning_rate", "grad_norm", "eval_loss")
"""Columns that stand first, in this order; the rest by name."""

Log = Sequence[Mapping[str, Any]]
"""transformers' `log_history`: one entry for each time that something was logged."""


def jsonl(log: Log) -> str:
    """One JSON object a line; what is not a number is null."""
    return "".join(json.dumps(report.finite(dict(entry)), allow_nan=False) + "\n" for entry in log)


def table(log: Log) -> str:
    """CSV with a header: a line for each step, whose entries are put together; empty where nothing was logged."""
    steps: dict[int, dict[str, Any]] = {}
    for entry in log:
        steps.setdefault(int(entry["step"]), {}).update(report.finite(dict(entry)))
    names = {name for one in steps.values() for name in one}
    columns = [*(name for name in FIRST if name in names), *sorted(names - set(FIRST))]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(steps[step] for step in sorted(steps))
    return text.getvalue()


def series(log: Log, name: str) -> list[tuple[float, float]]:
    """(step, value) wherever `name` was logged as a number."""
    return [
        (float(entry["step"]), float(entry[name]))
        for entry in log
        if isinstance(entry.get(name), int | float)
    ]

"""What a tracker is told besides figures: name, labels, settings. No Secret's name and no text of the author's."""

from collections.abc import Iterator
from typing import Any

from finetune_trainer import config

PARTS = ("method", "model", "dataset", "tuning", "training", "evaluation", "resources", "image")
"""Of run.json. `tracking` and `output` say nothing about the training."""

KEPT_BACK = frozenset({"credentialsSecretRef", "chatTemplate", "template", "samples", "blocklist"})
"""Fields that nobody compares runs by: names of Secrets, and texts that may be long or private."""


def labels(run: config.Run) -> dict[str, str]:
    """By which a person finds the job."""
    return {
        "finetune.namespace": run.job.namespace,
        "finetune.job": run.job.name,
        "finetune.uid": run.job.uid,
    }


def settings(run: config.Run, resolved: dict[str, Any]) -> dict[str, str | float | bool]:
    """Every setting by its path in the spec, as `training.learningRate`; what was chosen as `resolved.learningRate`."""
    said = run.wire()
    parts = {part: said[part] for part in PARTS if part in said} | {"resolved": resolved}
    return dict(_flat(parts))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str | float | bool]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in KEPT_BACK:
                yield from _flat(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for at, inner in enumerate(value):
            yield from _flat(inner, f"{path}.{at}")
    elif isinstance(value, list):
        yield path, ", ".join(str(one) for one in value)
    elif value is not None:
        yield path, value

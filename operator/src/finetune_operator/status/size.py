"""The status stays within 32 KiB: what can be spared goes first, what programs read goes never."""

import json
from collections.abc import Callable

from finetune_operator.api.status import MAX_STATUS_BYTES, FineTuneJobStatus
from finetune_operator.status.conditions import clipped

Trim = Callable[[FineTuneJobStatus], FineTuneJobStatus]


def size(status: FineTuneJobStatus) -> int:
    """Bytes on the wire."""
    return len(json.dumps(status.wire()).encode())


def bounded(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """`status`, trimmed until it fits."""
    for trim in TRIMS:
        if size(status) <= MAX_STATUS_BYTES:
            return status
        status = trim(status)
    return status


def _no_attempt_messages(status: FineTuneJobStatus) -> FineTuneJobStatus:
    kept = [one.model_copy(update={"message": None}) for one in status.attempts or ()]
    return status.model_copy(update={"attempts": kept or None})


def _no_nodes(status: FineTuneJobStatus) -> FineTuneJobStatus:
    kept = [one.model_copy(update={"nodes": None}) for one in status.attempts or ()]
    return status.model_copy(update={"attempts": kept or None})


def _no_advice(status: FineTuneJobStatus) -> FineTuneJobStatus:
    if status.dataset is None:
        return status
    return status.model_copy(
        update={"dataset": status.dataset.model_copy(update={"advice": None, "dropped": None})}
    )


def _no_serving(status: FineTuneJobStatus) -> FineTuneJobStatus:
    if status.adapter is None:
        return status
    return status.model_copy(update={"adapter": status.adapter.model_copy(update={"serving": None})})


def _no_resolved(status: FineTuneJobStatus) -> FineTuneJobStatus:
    return status.model_copy(update={"resolved": None, "evaluation": None, "checkpoint": None})


def _short_messages(status: FineTuneJobStatus) -> FineTuneJobStatus:
    kept = [one.model_copy(update={"message": clipped(one.message, 256)}) for one in status.conditions or ()]
    return status.model_copy(update={"conditions": kept or None})


TRIMS: tuple[Trim, ...] = (
    _no_nodes,
    _no_attempt_messages,
    _no_advice,
    _no_serving,
    _short_messages,
    _no_resolved,
)

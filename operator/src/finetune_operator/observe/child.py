"""A batch/v1 Job of ours."""

from dataclasses import dataclass, field
from typing import Any, Literal

from finetune_operator import names
from finetune_operator.names import Stage
from finetune_operator.observe.job import version
from finetune_operator.observe.times import instant

STAGES: dict[str, Stage] = {"prepare": "Prepare", "train": "Train"}


@dataclass(frozen=True, slots=True)
class ChildSeen:
    """The Job of one attempt."""

    namespace: str
    name: str
    uid: str
    owner_uid: str
    """uid of the FineTuneJob that controls it."""
    version: int = field(compare=False)
    stage: Stage
    attempt: int
    size: int
    """Pods that make it whole."""
    created: float
    suspended: bool
    """Held back by a queue. Never by us."""
    queue: str
    priority: str
    """Its WorkloadPriorityClass."""
    deleting: bool
    finished: Literal["", "Complete", "Failed"]
    finished_reason: str
    finished_at: float | None
    started: float | None


def child(raw: dict[str, Any]) -> ChildSeen | None:
    """The facts of a Job, or None if it is not a child of a FineTuneJob."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels = metadata.get("labels") or {}
    owner, attempt = controller(raw, names.KIND), labels.get(names.ATTEMPT, "")
    stage = STAGES.get(labels.get(names.STAGE, ""))
    if not owner or stage is None or not attempt.isdigit():
        return None
    finished, reason, at = _finished(status)
    return ChildSeen(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=owner,
        version=version(raw),
        stage=stage,
        attempt=int(attempt),
        size=spec.get("completions") or 1,
        created=instant(metadata.get("creationTimestamp")) or 0.0,
        suspended=bool(spec.get("suspend")),
        queue=labels.get(names.QUEUE, ""),
        priority=labels.get(names.WORKLOAD_PRIORITY, ""),
        deleting="deletionTimestamp" in metadata,
        finished=finished,
        finished_reason=reason,
        finished_at=at,
        started=instant(status.get("startTime")),
    )


def controller(raw: dict[str, Any], kind: str) -> str:
    """The uid of the controlling owner of that kind, or nothing."""
    for reference in raw["metadata"].get("ownerReferences") or ():
        if reference.get("controller") and reference.get("kind") == kind:
            return str(reference.get("uid", ""))
    return ""


def _finished(
    status: dict[str, Any],
) -> tuple[Literal["", "Complete", "Failed"], str, float | None]:
    """Complete or Failed, why, and since when."""
    for condition in status.get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in {"Complete", "Failed"}:
            since = instant(condition.get("lastTransitionTime"))
            return condition["type"], condition.get("reason", ""), since
    return "", "", None

"""A Workload: what Kueue says of one Job of ours."""

from dataclasses import dataclass, field
from typing import Any

from finetune_operator import names
from finetune_operator.observe.child import controller
from finetune_operator.observe.job import version
from finetune_operator.observe.times import instant

PREVIOUSLY = "Previously: "
"""Kueue keeps the message of an eviction that is over behind this word."""


@dataclass(frozen=True, slots=True)
class WorkloadSeen:
    """The few facts that say why a Job is held back, and why it was stopped."""

    namespace: str
    name: str
    uid: str
    job_uid: str
    """uid of the FineTuneJob, by the label of the pods that are to be."""
    child_uid: str
    """uid of the Job."""
    version: int = field(compare=False)
    active: bool
    """False: somebody, or Kueue itself, has taken it out of the queue."""
    waiting_reason: str
    """Kueue's word for why it is not admitted; empty once it is, and before Kueue has looked."""
    waiting_message: str
    evicted: str
    """Kueue's word for why it was last stopped; empty where it never was."""
    evicted_message: str
    evicted_at: float | None


def workload(raw: dict[str, Any]) -> WorkloadSeen | None:
    """The facts of a Workload, or None if it is not of a Job of ours."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    job_uid, child_uid = _label(spec, names.JOB_UID), controller(raw, "Job")
    if not job_uid or not child_uid:
        return None
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    waits = _waits(conditions)
    evicted = conditions.get("Evicted") or {}
    return WorkloadSeen(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        job_uid=job_uid,
        child_uid=child_uid,
        version=version(raw),
        active=spec.get("active") is not False,
        waiting_reason=waits.get("reason") or "",
        waiting_message=waits.get("message") or "",
        evicted=_evicted(conditions),
        evicted_message=(evicted.get("message") or "").removeprefix(PREVIOUSLY),
        evicted_at=instant(evicted.get("lastTransitionTime")),
    )


def _label(spec: dict[str, Any], label: str) -> str:
    """What the pods of the first pod set will carry."""
    first: dict[str, Any] = next(iter(spec.get("podSets") or ()), {})
    metadata = (first.get("template") or {}).get("metadata") or {}
    return str((metadata.get("labels") or {}).get(label) or "")


def _waits(conditions: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """The condition that is not met yet: quota first, then what must be checked besides."""
    for kind in ("QuotaReserved", "Admitted"):
        found = conditions.get(kind) or {}
        if found.get("status") == "False":
            return found
    return {}


def _evicted(conditions: dict[Any, dict[str, Any]]) -> str:
    """Why it was last stopped. Once it is admitted again, only that it was preempted can still be told."""
    evicted = conditions.get("Evicted") or {}
    if evicted.get("status") == "True":
        return str(evicted.get("reason") or "Evicted")
    preempted = conditions.get("Preempted") or {}
    if not evicted:
        return ""
    return "Preempted" if preempted.get("message") == evicted.get("message") else "Evicted"

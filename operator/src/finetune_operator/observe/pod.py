"""A pod of ours, and an Event about one."""

from dataclasses import dataclass, field
from typing import Any

from finetune_operator import names
from finetune_operator.names import Stage
from finetune_operator.observe.child import STAGES, controller
from finetune_operator.observe.job import version
from finetune_operator.observe.times import instant

MAX_LAST_WORD = 4096
MAX_SAID = 512


@dataclass(frozen=True, slots=True)
class PodSeen:
    """One pod, in the few facts that say how far it is and how it ended."""

    namespace: str
    name: str
    uid: str
    job_uid: str
    """uid of the FineTuneJob, by label."""
    child_uid: str
    """uid of the Job that controls it."""
    version: int = field(compare=False)
    stage: Stage
    attempt: int
    index: int
    """Rank of its node."""
    created: float
    deleting: bool
    ends_by: float | None
    """When a pod that is being deleted should be gone: deletion, and its grace period."""
    node: str
    ip: str
    scheduled: bool
    schedule_reason: str
    schedule_message: str
    waiting_reason: str
    waiting_message: str
    running: bool
    started: float | None
    ended: bool
    ended_at: float | None
    exit_code: int | None
    killed_for_memory: bool
    last_word: str
    disruption: str
    """Why somebody took the pod away: eviction, preemption, a taint."""
    said: str
    """What the kubelet says of the pod as a whole, such as why it evicted it."""


@dataclass(frozen=True, slots=True)
class EventSeen:
    """A core/v1 Event about a child."""

    about: str
    """uid."""
    reason: str
    message: str
    time: float


def pod(raw: dict[str, Any]) -> PodSeen | None:
    """The facts of a pod, or None if it is not ours."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    labels = metadata.get("labels") or {}
    attempt, stage = labels.get(names.ATTEMPT, ""), STAGES.get(labels.get(names.STAGE, ""))
    if names.JOB_UID not in labels or stage is None or not attempt.isdigit():
        return None
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    scheduled, state = conditions.get("PodScheduled") or {}, _container(status)
    waiting, running, ended = state.get("waiting") or {}, state.get("running"), state.get("terminated") or {}
    over = bool(ended) or status.get("phase") in {"Succeeded", "Failed"}
    began = (running or ended or {}).get("startedAt")
    return PodSeen(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        job_uid=labels[names.JOB_UID],
        child_uid=controller(raw, "Job"),
        version=version(raw),
        stage=stage,
        attempt=int(attempt),
        index=int(index) if (index := labels.get(names.INDEX, "")).isdigit() else 0,
        created=instant(metadata.get("creationTimestamp")) or 0.0,
        deleting="deletionTimestamp" in metadata,
        ends_by=instant(metadata.get("deletionTimestamp")),
        node=(raw.get("spec") or {}).get("nodeName") or "",
        ip=status.get("podIP") or "",
        scheduled=scheduled.get("status") == "True",
        schedule_reason=scheduled.get("reason") or "",
        schedule_message=scheduled.get("message") or "",
        waiting_reason=waiting.get("reason") or "",
        waiting_message=waiting.get("message") or "",
        running=running is not None and not over,
        started=instant(began),
        ended=over,
        ended_at=instant(ended.get("finishedAt")),
        exit_code=ended.get("exitCode"),
        killed_for_memory=ended.get("reason") == "OOMKilled",
        last_word=(ended.get("message") or "")[:MAX_LAST_WORD],
        disruption=_disruption(status, conditions),
        said=(status.get("message") or "").strip()[:MAX_SAID],
    )


def event(raw: dict[str, Any]) -> EventSeen:
    """The facts of an Event."""
    times = (raw.get("lastTimestamp"), raw.get("eventTime"), raw["metadata"].get("creationTimestamp"))
    return EventSeen(
        about=(raw.get("involvedObject") or {}).get("uid") or "",
        reason=raw.get("reason") or "",
        message=raw.get("message") or "",
        time=next((found for found in map(instant, times) if found is not None), 0.0),
    )


def _container(status: dict[str, Any]) -> dict[str, Any]:
    """The state of the trainer's container."""
    for one in status.get("containerStatuses") or ():
        if one.get("name") == names.CONTAINER:
            found = one.get("state")
            return found if isinstance(found, dict) else {}
    return {}


def _disruption(status: dict[str, Any], conditions: dict[Any, dict[str, Any]]) -> str:
    """A word for who took the pod away, or nothing."""
    target = conditions.get("DisruptionTarget") or {}
    if target.get("status") == "True":
        return str(target.get("reason") or "Disrupted")
    reason = status.get("reason") or ""
    gone = {
        "Evicted",
        "Preempting",
        "NodeShutdown",
        "Terminated",
        "NodeLost",
        "Shutdown",
        "NodeAffinity",
        "UnexpectedAdmissionError",
    }
    return reason if reason in gone else ""

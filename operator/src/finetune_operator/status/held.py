"""Why a queue holds a Job back: in Kueue's own words where it has some."""

import re
from typing import NamedTuple

from finetune_operator.errors.reasons import Reason
from finetune_operator.names import CALLED, Stage
from finetune_operator.observe.child import ChildSeen
from finetune_operator.observe.workload import WorkloadSeen

FIELDS: dict[Stage, str] = {"Prepare": "prepareQueueName", "Train": "queueName"}
"""Below spec.scheduling, and below spec.queues of a profile."""
FOR_GOOD = "DeactivatedDueTo"
"""How Kueue's word begins where Kueue itself gave up; it never tries such a Job again."""
CANNOT = frozenset({"Inadmissible", "Misconfigured"})
NO_QUEUE = re.compile(r"LocalQueue \S* ?doesn't exist")


class Held(NamedTuple):
    """What is said of a Job that is held back."""

    reason: str
    """For `Queued`: Kueue's own, where it has one."""
    ours: Reason
    """For the other conditions."""
    message: str
    for_good: bool = False
    """It will never start."""


def held(stage: Stage, child: ChildSeen, workload: WorkloadSeen | None, *, kueue: bool, late: bool) -> Held:
    """`kueue`: all Workloads are known. `late`: Kueue has had time enough to make one."""
    where = f"the {CALLED[stage]} Job waits in {f'queue {child.queue!r}' if child.queue else 'a queue'}"
    if workload is not None and not workload.active:
        return _deactivated(stage, workload)
    if kueue and not child.queue:
        return _said(Reason.QUEUE_NOT_NAMED, _not_named(stage))
    if workload is None:
        missing = kueue and late
        return (
            _said(Reason.WORKLOAD_MISSING, _missing(stage, child)) if missing else _said(Reason.QUEUED, where)
        )
    if not workload.waiting_reason:
        return _said(Reason.QUEUED, where)
    ours = Reason.INADMISSIBLE if workload.waiting_reason in CANNOT else Reason.QUEUED
    message = f"{where}: {workload.waiting_message or workload.waiting_reason}"
    if NO_QUEUE.search(workload.waiting_message):
        message += (
            f"; suspend the job, correct spec.scheduling.{FIELDS[stage]} and resume it, or ask the cluster's admin to create the "
            "LocalQueue in the job's namespace"
        )
    return Held(workload.waiting_reason, ours, message)


def _said(reason: Reason, message: str) -> Held:
    """Where Kueue has no word for it."""
    return Held(reason, reason, message)


def _deactivated(stage: Stage, workload: WorkloadSeen) -> Held:
    """Kueue's giving up, or a person's pause."""
    if workload.evicted.startswith(FOR_GOOD):
        why = workload.evicted_message or "it says no more"
        message = (
            f"Kueue has given up on the {CALLED[stage]} Job ({workload.evicted}): {why}; correct that and apply the job "
            "under a new name"
        )
        return Held(workload.evicted, Reason.DEACTIVATED, message, for_good=True)
    message = (
        f"somebody deactivated the {CALLED[stage]} Job; have spec.active of Workload {workload.name!r} set to true again, "
        "and the job goes on"
    )
    return _said(Reason.DEACTIVATED, message)


def _not_named(stage: Stage) -> str:
    field = FIELDS[stage]
    return (
        f"the {CALLED[stage]} Job is held back and names no queue: this cluster's Kueue seems to manage every Job; suspend the "
        f"job, set spec.scheduling.{field} and resume it, or have the cluster's admin set queues.{field} in the profile and apply "
        "the job under a new name"
    )


def _missing(stage: Stage, child: ChildSeen) -> str:
    if child.priority:
        why = f"see whether there is a WorkloadPriorityClass {child.priority!r} (spec.scheduling.workloadPriorityClassName)"
    else:
        why = "ask the cluster's admin whether its controller runs"
    return f"Kueue holds the {CALLED[stage]} Job back, and has made no Workload for it; {why}"

"""A run that a queue has stopped: its Job stays, and runs again when there is room.

One Job may so carry several runs, one after the other (`podReplacementPolicy: Failed`). Kueue shows how a run ended for about a
second; what is gone by then is told from what the status and the Workload remember.
"""

from collections.abc import Sequence
from dataclasses import replace

from finetune_operator.api.status import Attempt
from finetune_operator.errors.reasons import Reason
from finetune_operator.observe import times, words
from finetune_operator.observe.pod import PodSeen
from finetune_operator.observe.workload import WorkloadSeen
from finetune_operator.status.judge import Judged, is_lost


def split(pods: Sequence[PodSeen], before: Attempt | None) -> tuple[list[PodSeen], list[PodSeen]]:
    """Pods of one run of their Job, and of later ones. `before`: the run as the status has it."""
    began = times.instant(before.start_time) if before is not None else None
    if before is not None and before.resumes is not None and began is not None:
        pods = [one for one in pods if not (one.ended and _end(one) <= began)]
    if before is not None and before.node is not None and began is not None:
        last = began  # it names a node only of a pod that runs, and starts with it
        return [one for one in pods if one.created <= last], [one for one in pods if one.created > last]
    first = min((one for one in pods if one.ended), key=_end, default=None)
    if first is None:
        return list(pods), []
    later = [one for one in pods if one is not first and one.created >= _end(first)]
    return [one for one in pods if one not in later], later


def stopped(
    one: Judged,
    mine: Sequence[PodSeen],
    later: Sequence[PodSeen],
    *,
    before: Attempt | None,
    workload: WorkloadSeen | None,
    now: float,
) -> Judged | None:
    """How the run ended, if a queue stopped it. None: it goes on, it never began, or its Job tells how it ended."""
    child = one.child
    if one.outcome != "Running" or child is None or child.finished or child.deleting:
        return None
    if not child.suspended and not later:
        return None
    if any(not pod.ended and not is_lost(pod, now) for pod in mine):
        return None
    if one.ran_from is None and (before is None or before.node is None):
        return None
    ended = min((pod for pod in mine if pod.ended), key=lambda pod: pod.index, default=None)
    reason, message = _why(workload)
    word = words.last_word(ended.last_word) if ended is not None else None
    return replace(
        one,
        outcome="Interrupted",
        reason=reason,
        message=f"{message}; {word.message}" if word is not None and word.message else message,
        exit_code=ended.exit_code if ended is not None else None,
        end=_ended_at(mine, later, workload, now),
        word=word,
        pod=ended,
    )


def _ended_at(
    mine: Sequence[PodSeen], later: Sequence[PodSeen], workload: WorkloadSeen | None, now: float
) -> float:
    """When the last pod ended; else the moment in which the queue stopped it, and before the next run in any case."""
    ends = [pod.ended_at for pod in mine if pod.ended_at is not None]
    if ends:
        return max(ends)
    said = workload.evicted_at if workload is not None else None
    return min([said if said is not None else now, now, *(pod.created for pod in later)])


def _why(workload: WorkloadSeen | None) -> tuple[Reason, str]:
    """In Kueue's words, where they can be had."""
    if workload is None or not workload.evicted:
        return Reason.EVICTED, "the queue took the place back"
    if workload.evicted == Reason.PREEMPTED:
        return Reason.PREEMPTED, workload.evicted_message or "the queue gave the place to another job"
    return Reason.EVICTED, f"the queue took the place back: {workload.evicted_message or workload.evicted}"


def _end(pod: PodSeen) -> float:
    """When it ended (s); its beginning where nobody says."""
    return pod.ended_at if pod.ended_at is not None else pod.created

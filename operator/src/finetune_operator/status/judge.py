"""How an attempt stands, from its Job and its pods: the exit codes and last words of docs/contract.md as a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from finetune_operator.errors.reasons import Reason
from finetune_operator.names import Stage
from finetune_operator.observe import words
from finetune_operator.observe.child import ChildSeen
from finetune_operator.observe.pod import PodSeen
from finetune_operator.observe.words import LastWord
from finetune_operator.status import results

Outcome = Literal["Running", "Succeeded", "Failed", "Interrupted", "Waiting"]

FINAL = {
    64: (Reason.INPUT_REFUSED, "the trainer refused the spec or the data (exit code 64); see the pod's log"),
    65: (Reason.GATE_NOT_MET, "the evaluation gate was not met (exit code 65); nothing was published"),
    77: (
        Reason.ACCESS_DENIED,
        "access was denied (exit code 77); check the Secrets and what they may read and write",
    ),
    86: (
        Reason.GPU_OUT_OF_MEMORY,
        "the accelerator is out of memory (exit code 86); use a smaller maxLength or model, or a larger GPU",
    ),
}
WAITING, INTERRUPTED = 69, 75

LOST_AFTER = 60.0
"""Seconds after which a pod that should have ended is taken for lost with its node: its kubelet would have said so long ago."""


@dataclass(frozen=True)
class Judged:
    """How one attempt stands."""

    stage: Stage
    number: int
    outcome: Outcome = "Running"
    reason: str = ""
    message: str = ""
    final: bool = False
    """No other attempt could end better."""
    exit_code: int | None = None
    node: str = ""
    start: float | None = None
    ran_from: float | None = None
    """Since when its pod ran (s since the epoch); None while it has not."""
    end: float | None = None
    word: LastWord | None = None
    child: ChildSeen | None = None
    pod: PodSeen | None = None
    """The newest pod."""
    unclear: bool = False
    """The caches contradict each other: look at the API server itself before deciding."""


class Ended(NamedTuple):
    """A pod that has ended."""

    pod: PodSeen
    word: LastWord | None
    name: str


class Ending(NamedTuple):
    """What an end means."""

    outcome: Outcome
    reason: str
    message: str
    final: bool = False


def _good(ended: Ended) -> bool:
    """Exit 0, and a last word of this stage with a result in it."""
    if ended.pod.exit_code != 0 or ended.word is None or ended.word.stage != ended.pod.stage:
        return False
    if results.published(ended.word, name=ended.name):
        return True
    return (
        ended.pod.stage == "Prepare"
        and ended.word.reason == "Prepared"
        and results.prepared(ended.word) is not None
    )


def _said(ended: Ended, outcome: Outcome, reason: str, message: str, *, final: bool = False) -> Ending:
    """The trainer's own words where it left some, ours otherwise."""
    word = ended.word
    return Ending(outcome, word.reason if word else reason, (word.message if word else "") or message, final)


def _final(ended: Ended) -> Ending:
    reason, message = FINAL[ended.pod.exit_code or 0]
    return _said(ended, "Failed", reason, message, final=True)


def _memory(ended: Ended) -> Ending:
    field = "spec.resources.memory" if ended.pod.stage == "Train" else "spec.resources.prepare.memory"
    return Ending(
        "Failed",
        Reason.MEMORY_KILLED,
        f"the {ended.pod.stage} container was killed for memory; raise {field} and apply under a new name",
        final=True,
    )


def _gone(ended: Ended) -> Ending:
    word = ended.pod.disruption or "deleted"
    reason = Reason.EVICTED if ended.pod.disruption else Reason.POD_LOST
    return Ending("Interrupted", reason, f"the pod {ended.pod.name} was taken away ({word})")


ENDINGS: tuple[tuple[Callable[[Ended], bool], Callable[[Ended], Ending]], ...] = (
    (_good, lambda e: _said(e, "Succeeded", "", "")),
    (
        lambda e: e.pod.exit_code == 0,
        lambda _: Ending(
            "Failed",
            Reason.NO_LAST_WORD,
            "the trainer ended with exit code 0 but left no valid last word; not taken for a success",
        ),
    ),
    (lambda e: e.pod.exit_code in FINAL, _final),
    (
        lambda e: e.pod.exit_code == WAITING,
        lambda e: _said(
            e,
            "Waiting",
            Reason.NOT_THERE_YET,
            "something outside is not there yet (exit code 69); see the pod's log",
        ),
    ),
    (
        lambda e: e.pod.exit_code == INTERRUPTED,
        lambda e: _said(e, "Interrupted", Reason.INTERRUPTED, "interrupted from outside (exit code 75)"),
    ),
    (lambda e: bool(e.pod.disruption), _gone),
    (lambda e: e.pod.killed_for_memory, _memory),
    (lambda e: e.pod.deleting or e.pod.exit_code is None, _gone),
    (
        lambda _: True,
        lambda e: _said(
            e,
            "Failed",
            Reason.TRAINER_FAILED,
            f"the trainer ended with exit code {e.pod.exit_code}; see the log of pod {e.pod.name}",
        ),
    ),
)
"""First match wins."""


def ending(pod: PodSeen, *, name: str) -> Ending:
    """What the end of a pod means."""
    ended = Ended(pod, words.last_word(pod.last_word), name)
    return next(meaning(ended) for holds, meaning in ENDINGS if holds(ended))


def judge(
    stage: Stage,
    number: int,
    child: ChildSeen | None,
    pods: Sequence[PodSeen],
    *,
    name: str,
    confirmed: bool,
    now: float,
) -> Judged:
    """How the attempt stands. A good or a final end counts at once; any other only when the Job is over, or gone."""
    mine = sorted((one for one in pods if _of(child, one)), key=lambda one: one.created)
    newest = mine[-1] if mine else None
    base = Judged(
        stage,
        number,
        child=child,
        pod=newest,
        node=newest.node if newest else "",
        start=_start(child, newest),
        ran_from=newest.started if newest else None,
    )
    ends = [(one, ending(one, name=name)) for one in mine if one.ended]
    for pod, end in ends:
        if end.outcome == "Succeeded" or end.final:
            return _ended(base, pod, end)
    lost = [one for one in mine if is_lost(one, now)]
    alive = any(not one.ended and one not in lost for one in mine)
    if lost and not alive and lost[-1] is newest:
        return _lost(base, lost[-1], now)
    if child is not None and not child.finished:
        return base
    if alive:
        return replace(base, unclear=child is not None and not confirmed)
    if ends:
        return _ended(base, *ends[-1])
    if not confirmed:
        return replace(base, unclear=True)
    return _vanished(base, now)


def _of(child: ChildSeen | None, pod: PodSeen) -> bool:
    """Whether the pod is the attempt's. Its labels alone prove nothing: anybody who may make pods may write them."""
    return pod.child_uid == child.uid if child is not None else bool(pod.child_uid)


def _start(child: ChildSeen | None, pod: PodSeen | None) -> float | None:
    """When the attempt began."""
    if pod is not None and pod.started is not None:
        return pod.started
    return child.created if child is not None else None


def _ended(base: Judged, pod: PodSeen, end: Ending) -> Judged:
    """`base` with how it ended."""
    return replace(
        base,
        outcome=end.outcome,
        reason=end.reason,
        message=end.message,
        final=end.final,
        exit_code=pod.exit_code,
        node=pod.node,
        start=pod.started if pod.started is not None else base.start,
        ran_from=pod.started,
        end=pod.ended_at,
        word=words.last_word(pod.last_word),
        pod=pod,
    )


def is_lost(pod: PodSeen, now: float) -> bool:
    """Whether nobody is left to tell the end of a pod that is being deleted."""
    return not pod.ended and pod.ends_by is not None and now >= pod.ends_by + LOST_AFTER


def _lost(base: Judged, pod: PodSeen, now: float) -> Judged:
    """The node is dead, or cut off. Its pod can commit nothing once the next run has started."""
    message = f"node {pod.node or 'unknown'} no longer answers: the pod {pod.name} should have ended, and nobody says how"
    return replace(base, outcome="Interrupted", reason=Reason.NODE_LOST, message=message, end=now)


def _vanished(base: Judged, now: float) -> Judged:
    """No pod is left to ask."""
    if base.child is None:
        return replace(
            base,
            outcome="Interrupted",
            reason=Reason.JOB_DELETED,
            message="somebody deleted the attempt's Job",
            end=now,
        )
    if base.child.finished == "Complete":
        message = f"the Job {base.child.name} is complete, but its pod is gone and with it the last word"
        return replace(base, outcome="Failed", reason=Reason.NO_LAST_WORD, message=message, end=now)
    message = f"the pod of Job {base.child.name} is gone ({base.child.finished_reason or 'no reason given'})"
    return replace(base, outcome="Interrupted", reason=Reason.POD_LOST, message=message, end=now)

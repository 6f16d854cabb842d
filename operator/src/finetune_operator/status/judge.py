"""How an attempt stands, from its Job and its pods. Of several pods the gravest end speaks for all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from finetune_operator.errors.reasons import Reason
from finetune_operator.names import Stage
from finetune_operator.observe import words
from finetune_operator.observe.child import ChildSeen
from finetune_operator.observe.pod import PodSeen
from finetune_operator.observe.words import LastWord
from finetune_operator.status.endings import Ending, Outcome, ending, gravity

LOST_AFTER = 60.0
"""Seconds after which a pod that should have ended is taken for lost with its node: its kubelet would have said so long ago."""


@dataclass(frozen=True)
class Judged:
    """How one attempt stands."""

    stage: Stage
    number: int
    resumes: int | None = None
    """The attempt whose Job runs again here."""
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
    pods: tuple[PodSeen, ...] = ()
    """The newest pod of each rank."""
    pod: PodSeen | None = None
    """The one to look at: of several the one that is not as far as the others, or that ended them."""
    unclear: bool = False
    """The caches contradict each other: look at the API server itself before deciding."""

    @property
    def carried(self) -> int:
        """The number that its Job and its pods carry."""
        return self.resumes if self.resumes is not None else self.number


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
    members = _members(mine)
    pod = _lagging(members, child)
    base = Judged(
        stage,
        number,
        child=child,
        pods=members,
        pod=pod,
        node=members[0].node if members else "",
        start=_start(child, members),
        ran_from=_began(members),
    )
    ends = [(one, ending(one, name=name)) for one in mine if one.ended and not _done(one)]
    decisive = [(one, end) for one, end in ends if end.outcome == "Succeeded" or end.final]
    if decisive:
        return _ended(base, *_gravest(decisive))
    lost = [one for one in members if is_lost(one, now)]
    alive = any(not one.ended and not is_lost(one, now) for one in mine)
    if lost and not alive:
        return _lost(base, lost[0], now)
    if child is not None and not child.finished:
        return base
    if alive:
        return replace(base, unclear=child is not None and not confirmed)
    told = [(one, end) for one, end in ends if one in members]
    if told:
        return _ended(base, *_gravest(told))
    if not confirmed:
        return replace(base, unclear=True)
    return _vanished(base, now)


def _members(mine: Iterable[PodSeen]) -> tuple[PodSeen, ...]:
    """The newest pod of each rank, in their order. `mine`: oldest first; a queue may have run the Job before."""
    newest = {one.index: one for one in mine}
    return tuple(newest[index] for index in sorted(newest))


def _lagging(members: Sequence[PodSeen], child: ChildSeen | None) -> PodSeen | None:
    """The pod that keeps its gang from running; rank 0's where none does; None where one is still to be made."""
    stopped = [one for one in members if (one.ended and not _done(one)) or one.deleting]
    if child is not None and len(members) < child.size and not stopped:
        return None
    starting = [one for one in members if not one.running and not one.ended]
    return next(iter([*starting, *stopped, *members]), None)


def _done(pod: PodSeen) -> bool:
    """Whether its ranks trained to the end, and it had nothing more to do: publishing and the result are rank 0's."""
    return pod.index > 0 and pod.exit_code == 0


def _gravest(ends: Iterable[tuple[PodSeen, Ending]]) -> tuple[PodSeen, Ending]:
    """The end that speaks for all; of one rank, that of its newest pod."""
    newest_first = sorted(ends, key=lambda one: one[0].created, reverse=True)
    return min(newest_first, key=lambda one: (*gravity(*one), one[0].index))


def _of(child: ChildSeen | None, pod: PodSeen) -> bool:
    """Whether the pod is the attempt's. Its labels alone prove nothing: anybody who may make pods may write them."""
    return pod.child_uid == child.uid if child is not None else bool(pod.child_uid)


def _start(child: ChildSeen | None, members: Sequence[PodSeen]) -> float | None:
    """When the attempt began."""
    began = _began(members)
    if began is not None:
        return began
    return child.created if child is not None else None


def _began(members: Sequence[PodSeen]) -> float | None:
    """When the first of its pods started."""
    return min((one.started for one in members if one.started is not None), default=None)


def _ended(base: Judged, pod: PodSeen, end: Ending) -> Judged:
    """`base` with how it ended."""
    gang = base.pods if pod in base.pods else (pod,)
    ends = [one.ended_at for one in gang if one.ended_at is not None]
    began = _began(gang)
    return replace(
        base,
        outcome=end.outcome,
        reason=end.reason,
        message=end.message,
        final=end.final,
        exit_code=pod.exit_code,
        node=pod.node,
        start=began if began is not None else base.start,
        ran_from=began,
        end=max(ends, default=None),
        word=words.last_word(pod.last_word),
        pods=gang,
        pod=pod,
    )


def is_lost(pod: PodSeen, now: float) -> bool:
    """Whether nobody is left to tell the end of a pod that is being deleted."""
    return not pod.ended and pod.ends_by is not None and now >= pod.ends_by + LOST_AFTER


def _lost(base: Judged, pod: PodSeen, now: float) -> Judged:
    """The node is dead, or cut off. Its pod can commit nothing once the next run has started."""
    message = (
        f"node {pod.node or 'unknown'} no longer answers, so nobody knows how the pod {pod.name} ended; it counts as "
        "interrupted"
    )
    return replace(
        base,
        outcome="Interrupted",
        reason=Reason.NODE_LOST,
        message=message,
        node=pod.node,
        end=now,
    )


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
        message = f"the Job {base.child.name} is complete, but its pod is gone, and with it what it said of the result"
        return replace(base, outcome="Interrupted", reason=Reason.NO_LAST_WORD, message=message, end=now)
    message = f"the pod of Job {base.child.name} is gone ({base.child.finished_reason or 'no reason given'})"
    return replace(base, outcome="Interrupted", reason=Reason.POD_LOST, message=message, end=now)

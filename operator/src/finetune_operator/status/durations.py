"""How long things took that a status write tells of: read off the old and the new status, as Events are."""

from collections.abc import Iterator
from typing import NamedTuple

from finetune_operator.api.status import Condition, FineTuneJobStatus
from finetune_operator.observe import times


class Run(NamedTuple):
    """An attempt that ended."""

    stage: str
    outcome: str
    seconds: float
    """From the start of its first pod; 0 where none started."""


def runs(old: FineTuneJobStatus, new: FineTuneJobStatus) -> Iterator[Run]:
    """Attempts that have ended since."""
    before = {(one.stage, one.number): one.outcome for one in old.attempts or ()}
    for one in new.attempts or ():
        if one.outcome != "Running" and before.get((one.stage, one.number), "Running") == "Running":
            yield Run(one.stage, one.outcome, _between(one.start_time, one.end_time))


def queued(old: FineTuneJobStatus, new: FineTuneJobStatus) -> float | None:
    """Seconds that a queue held a Job back which it has let start now."""
    waited, admitted = _condition(old, "Queued"), _condition(new, "Queued")
    if waited is None or admitted is None or (waited.status, admitted.status) != ("True", "False"):
        return None
    return _between(waited.last_transition_time, admitted.last_transition_time)


def end(old: FineTuneJobStatus, new: FineTuneJobStatus) -> Condition | None:
    """`Succeeded`, if the job has ended since."""
    ended = new.state in {"Succeeded", "Failed"} and new.state != old.state
    return _condition(new, "Succeeded") if ended else None


def _condition(status: FineTuneJobStatus, kind: str) -> Condition | None:
    return next((one for one in status.conditions or () if one.type == kind), None)


def _between(begin: str | None, end: str | None) -> float:
    began, ended = times.instant(begin), times.instant(end)
    return max(0.0, ended - began) if began is not None and ended is not None else 0.0

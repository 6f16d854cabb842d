"""Kubernetes Events: one a transition, read off the old and the new status."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from finetune_operator.api.status import Attempt, Condition, FineTuneJobStatus
from finetune_operator.names import CALLED
from finetune_operator.status.conditions import clipped

MAX_NOTE = 1000  # the API's bound is 1024


class Told(NamedTuple):
    """An Event to create."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


SILENT = frozenset({"NotStarted", "NotPublished"})
USUAL = frozenset(
    {
        "Starting",
        "Queued",
        "Admitted",
        "Preempted",
        "Evicted",
        "Retrying",
        "Suspended",
        "Ending",
        "Published",
        "AlreadyPublished",
    }
)
"""Reasons of a condition that is False in the usual course of things."""


def transitions(old: FineTuneJobStatus, new: FineTuneJobStatus) -> list[Told]:
    """What a person following the job wants to hear."""
    return [*_ended(old, new), *_conditions(old, new)]


def _conditions(old: FineTuneJobStatus, new: FineTuneJobStatus) -> Iterator[Told]:
    """Conditions whose truth or reason moved. `Ready` and the like repeat them."""
    before = {one.type: one for one in old.conditions or ()}
    ended = any(one.type == "Succeeded" and one.status == "False" for one in new.conditions or ())
    for one in new.conditions or ():
        was = before.get(one.type)
        if one.type not in {"Accepted", "Prepared", "Queued", "Running", "Succeeded"} or one.reason in SILENT:
            continue
        if was is not None and (was.status, was.reason) == (one.status, one.reason):
            continue
        if one.type == "Succeeded" and one.status == "Unknown":
            continue
        if one.type == "Running" and (ended or _done(new)):
            continue
        yield Told(
            _kind(one),
            one.reason,
            clipped(f"{one.type}: {one.message}" if one.message else one.type, MAX_NOTE),
        )


def _done(status: FineTuneJobStatus) -> bool:
    return status.state in {"Succeeded", "Failed"}


def _kind(one: Condition) -> Literal["Normal", "Warning"]:
    return "Warning" if one.status == "False" and one.reason not in USUAL else "Normal"


def _ended(old: FineTuneJobStatus, new: FineTuneJobStatus) -> Iterator[Told]:
    """Attempts that ended otherwise than well."""
    before = {(one.stage, one.number): one.outcome for one in old.attempts or ()}
    for one in new.attempts or ():
        if one.outcome in {"Running", "Succeeded"} or before.get((one.stage, one.number)) == one.outcome:
            continue
        yield Told(
            "Warning" if one.outcome == "Failed" else "Normal", one.reason or one.outcome, _sentence(one)
        )


def _sentence(one: Attempt) -> str:
    return clipped(
        f"{CALLED[one.stage]} attempt {one.number} ended ({one.outcome}): {one.message or one.reason or ''}",
        MAX_NOTE,
    )

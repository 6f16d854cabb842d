"""Conditions: time moves only with truth."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from finetune_operator.api.status import Condition, ConditionType
from finetune_operator.errors.reasons import Reason
from finetune_operator.observe import times

Truth = Literal["True", "False", "Unknown"]
MAX_MESSAGE = 2048

ORDER: tuple[ConditionType, ...] = get_args(ConditionType)


class Says(NamedTuple):
    """What one condition says."""

    truth: Truth
    reason: str
    message: str


Sayings = Mapping[ConditionType, Says | None]
"""None: the condition is not there."""


def recorded(old: Sequence[Condition], sayings: Sayings, *, generation: int, now: float) -> list[Condition]:
    """`old` with `sayings` over it."""
    known = {one.type: one for one in old}
    found = []
    for kind in ORDER:
        if kind in sayings:
            says = sayings[kind]
            if says is not None:
                found.append(_condition(kind, says, known.get(kind), generation=generation, now=now))
        elif kind in known:
            found.append(known[kind].model_copy(update={"observed_generation": generation}))
    return found


def _condition(
    kind: ConditionType, says: Says, before: Condition | None, *, generation: int, now: float
) -> Condition:
    """One condition; its time is the old one's while its truth is."""
    same = before is not None and before.status == says.truth
    return Condition(
        type=kind,
        status=says.truth,
        reason=says.reason,
        message=clipped(says.message, MAX_MESSAGE),
        last_transition_time=before.last_transition_time if before is not None and same else times.stamp(now),
        observed_generation=generation,
    )


def clipped(sentence: str, most: int) -> str:
    """At most `most` characters; a cut is shown."""
    return sentence if len(sentence) <= most else sentence[: most - 3] + "..."


def on_the_way(reason: str, message: str) -> dict[ConditionType, Says | None]:
    """kstatus: in progress."""
    return {
        "Succeeded": Says("Unknown", reason, message),
        "Reconciling": Says("True", reason, message),
        "Stalled": None,
        "Ready": Says("False", reason, message),
    }


def failed(reason: str, message: str) -> dict[ConditionType, Says | None]:
    """kstatus: failed for good."""
    return {
        "Queued": None,
        "Running": Says("False", reason, message),
        "Published": Says("False", Reason.NOT_PUBLISHED, "nothing was published"),
        "Succeeded": Says("False", reason, message),
        "Reconciling": Says("False", reason, "the job has ended"),
        "Stalled": Says("True", reason, message),
        "Ready": Says("False", reason, message),
    }


def succeeded(reason: str, message: str) -> dict[ConditionType, Says | None]:
    """kstatus: current."""
    return {
        "Queued": None,
        "Running": Says("False", reason, "the training pod has ended"),
        "Published": Says("True", reason, message),
        "Succeeded": Says("True", reason, message),
        "Reconciling": Says("False", reason, "the job has ended"),
        "Stalled": None,
        "Ready": Says("True", reason, message),
    }

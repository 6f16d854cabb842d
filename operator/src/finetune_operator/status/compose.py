"""The whole status, from the old one and what has changed."""

from collections.abc import Mapping
from typing import Any

from finetune_operator.api.status import FineTuneJobStatus, State
from finetune_operator.status import conditions, size
from finetune_operator.status.conditions import Sayings


def composed(
    old: FineTuneJobStatus,
    *,
    generation: int,
    now: float,
    state: State,
    sayings: Sayings,
    changes: Mapping[str, Any],
) -> FineTuneJobStatus:
    """`old` with the changes over it, within its bound."""
    said = conditions.recorded(old.conditions or (), sayings, generation=generation, now=now)
    fields = {"observed_generation": generation, "state": state, "conditions": said, **changes}
    return size.bounded(old.model_copy(update=fields))


def patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `new` of `old`. Empty: nothing to write."""
    found: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            found[name] = value
        elif isinstance(value, dict) and isinstance(old[name], dict):
            inner = patch(old[name], value)
            if inner:
                found[name] = inner
        elif old[name] != value:
            found[name] = value
    return found

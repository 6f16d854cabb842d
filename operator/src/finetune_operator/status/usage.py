"""What training took: pods' time, GPUs' time, and how much of it was lost."""

from collections.abc import Sequence
from typing import NamedTuple

from finetune_operator.api.status import CheckpointSeen, Usage
from finetune_operator.observe import times
from finetune_operator.status.judge import Judged


class Rate(NamedTuple):
    """What a second of training costs."""

    gpus: int = 0
    """Of each node."""
    nodes: int = 1
    gpu_hour: float | None = None
    """Price of one GPU for an hour."""
    currency: str | None = None


def ran(one: Judged, now: float) -> float:
    """Seconds from the start of the attempt's first training pod to the end of its last; 0 while none has run."""
    if one.stage != "Train" or one.ran_from is None:
        return 0.0
    return max(0.0, (one.end if one.end is not None else now) - one.ran_from)


def pods_ran(one: Judged, nodes: int, now: float) -> float:
    """Seconds of all the attempt's training pods together. One whose object is gone is taken to have run all the time."""
    end = one.end if one.end is not None else now
    known = sum(
        max(0.0, (pod.ended_at if pod.ended_at is not None else end) - pod.started)
        for pod in one.pods
        if pod.started is not None
    )
    return known + max(0, nodes - len(one.pods)) * ran(one, now)


def spent(
    old: Usage | None, ended: Sequence[Judged], *, saved: CheckpointSeen | None, rate: Rate, now: float
) -> Usage | None:
    """`old` with the attempts that have just ended. `saved`: the newest checkpoint."""
    found = [(one, seconds) for one in ended if (seconds := ran(one, now)) > 0]
    if not found:
        return old
    before = old or Usage()
    seconds = sum(seconds for _, seconds in found)
    pods = [pods_ran(one, rate.nodes, now) for one, _ in found]
    lost = sum(
        _lost(one, seconds, saved, now) / seconds * of_pods
        for (one, seconds), of_pods in zip(found, pods, strict=True)
    )
    new = before.model_copy(
        update={
            "seconds": _more(before.seconds, seconds),
            "gpu_seconds": _more(before.gpu_seconds, rate.gpus * sum(pods)),
            "wasted_gpu_seconds": _more(before.wasted_gpu_seconds, rate.gpus * lost),
        }
    )
    return priced(new, rate)


def priced(usage: Usage, rate: Rate) -> Usage:
    """`usage` with its price, where the profile tells one."""
    if rate.gpu_hour is None or usage.gpu_seconds is None:
        return usage
    cost = round(usage.gpu_seconds / 3600 * rate.gpu_hour, 2)
    return usage.model_copy(update={"cost": cost, "currency": rate.currency})


def _lost(one: Judged, seconds: float, saved: CheckpointSeen | None, now: float) -> float:
    """Of an attempt that did not succeed, the time since the newest checkpoint that it made itself; else all of it."""
    if one.outcome == "Succeeded":
        return 0.0
    at = times.instant(saved.time) if saved is not None else None
    end = one.end if one.end is not None else now
    return seconds if at is None else min(seconds, max(0.0, end - at))


def _more(before: float | None, added: float) -> float:
    return round((before or 0.0) + added, 1)

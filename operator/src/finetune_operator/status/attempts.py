"""The list of attempts: what is kept, how often one failed, how long to pause before the next."""

from collections.abc import Iterable, Sequence

from finetune_operator.api.status import Attempt
from finetune_operator.errors.reasons import Reason
from finetune_operator.names import Stage
from finetune_operator.observe import times
from finetune_operator.status.conditions import clipped
from finetune_operator.status.judge import Judged

KEPT = 10
MAX_MESSAGE = 512


def attempt(judged: Judged, *, now: float, checkpoint_step: int | None = None) -> Attempt:
    """One line of `status.attempts`. `checkpoint_step`: of the newest checkpoint there is."""
    running = judged.outcome == "Running"
    return Attempt(
        stage=judged.stage,
        number=judged.number,
        resumes=judged.resumes,
        outcome=judged.outcome,
        reason=clipped(judged.reason, 128) or None,
        message=clipped(judged.message, MAX_MESSAGE) or None if judged.outcome != "Succeeded" else None,
        exit_code=judged.exit_code,
        checkpoint_step=checkpoint_step if judged.stage == "Train" and not running else None,
        node=(judged.node or None) if not running or _at_work(judged) else None,
        nodes=_nodes(judged) if not running or _at_work(judged) else None,
        start_time=times.stamp(judged.start if judged.start is not None else now),
        end_time=None if running else times.stamp(judged.end if judged.end is not None else now),
    )


def _nodes(judged: Judged) -> list[str] | None:
    """All of them, where there are several."""
    return [one.node for one in judged.pods] if len(judged.pods) > 1 else None


def _at_work(judged: Judged) -> bool:
    """Whether the node is worth a write before the end: where a GPU is at work, or a queue may stop the pod and begin again."""
    if judged.pod is None or not judged.pod.running:
        return False
    return judged.stage == "Train" or (judged.child is not None and bool(judged.child.queue))


def merged(old: Iterable[Attempt], new: Iterable[Attempt]) -> list[Attempt]:
    """`old` with `new` in their places, in the order they were made, the last ten."""
    found = {(one.stage, one.number): one for one in old} | {(one.stage, one.number): one for one in new}
    kept = sorted(found.values(), key=lambda one: (one.stage == "Train", one.number))
    while len(kept) > KEPT:
        del kept[_dispensable(kept)]
    return kept


def _dispensable(kept: Sequence[Attempt]) -> int:
    """The oldest attempt that repeats the one before it; else the oldest. The first of a row says since when we wait."""
    for at in range(1, len(kept) - 1):
        before, one = kept[at - 1], kept[at]
        if one.outcome == before.outcome == "Waiting" and one.stage == before.stage:
            return at
    return 0


def of(stage: Stage, attempts: Iterable[Attempt]) -> list[Attempt]:
    """Those of one stage."""
    return [one for one in attempts if one.stage == stage]


def failures(stage: Stage, attempts: Iterable[Attempt]) -> int:
    """How many cost the author an attempt."""
    return sum(one.outcome == "Failed" for one in of(stage, attempts))


def fruitless(attempts: Sequence[Attempt], most: int) -> list[Attempt]:
    """The last training attempts, if `most` of them in a row ran, were interrupted, and left no newer checkpoint.

    Those that the author suspended are passed over, and those that never ran: nothing was lost by them.
    """
    mine = [
        one
        for one in of("Train", attempts)
        if one.outcome != "Interrupted" or (one.node and one.reason != Reason.SUSPENDED)
    ]
    last = mine[-most:]
    if len(last) < most or any(one.outcome != "Interrupted" for one in last):
        return []
    before = mine[-most - 1].checkpoint_step if len(mine) > most else None
    return last if (last[-1].checkpoint_step or 0) <= (before or 0) else []


def row(stage: Stage, attempts: Sequence[Attempt]) -> list[Attempt]:
    """The last attempts in a row that ended alike."""
    mine = of(stage, attempts)
    found: list[Attempt] = []
    for one in reversed(mine):
        if one.outcome != mine[-1].outcome:
            break
        found.insert(0, one)
    return found


def pause(stage: Stage, attempts: Sequence[Attempt], *, base: float, cap: float) -> float:
    """Seconds between the end of the last attempt and the next. The first interruption costs none."""
    last = row(stage, attempts)
    times_over = len(last) - (1 if last and last[-1].outcome == "Interrupted" else 0)
    if times_over <= 0:
        return 0.0
    return float(min(cap, base * 2 ** (times_over - 1)))

"""A curve of characters, for a terminal."""

import re
from collections.abc import Iterable, Sequence

from kubectl_finetune.views import amounts

Point = tuple[int, float]
"""Step, loss."""

STEP = re.compile(r"^step (\d+)/\d+ loss (\d+\.\d+) ")
"""What the trainer writes to its log every few seconds."""
DOT = "•"


def points(log: Iterable[str]) -> list[Point]:
    """What a trainer's log tells of the loss; a step that was made again counts once, as it was made last."""
    seen = {int(found[1]): float(found[2]) for line in log if (found := STEP.match(line))}
    return sorted(seen.items())


def drawn(known: Sequence[Point], *, width: int, height: int = 4) -> list[str]:
    """The curve in `height` lines and two more below, none wider than `width`. Empty for fewer than two points."""
    if len(known) < 2:  # noqa: PLR2004 - one point is no curve
        return []
    low, high = min(loss for _, loss in known), max(loss for _, loss in known)
    first, last = known[0][0], known[-1][0]
    labels = [amounts.number(high), *[""] * (height - 2), amounts.number(low)]
    margin = max(map(len, labels))
    columns = width - margin - 2
    heights = _heights(known, columns, height)
    rows = [
        f"{label:>{margin}} |" + "".join(DOT if at == row else " " for at in heights).rstrip()
        for row, label in enumerate(labels)
    ]
    axis = f"{'':>{margin}} +{'-' * columns}"
    ends = f"step {first}"
    return [*rows, axis, f"{'':>{margin}}  {ends}{last:>{columns - len(ends)}}"]


def _heights(known: Sequence[Point], columns: int, height: int) -> list[int | None]:
    """The row of the dot in each column, from the top; None where no step falls into it."""
    low, high = min(loss for _, loss in known), max(loss for _, loss in known)
    first, last = known[0][0], known[-1][0]
    gathered: list[list[float]] = [[] for _ in range(columns)]
    for step, loss in known:
        gathered[(step - first) * (columns - 1) // max(last - first, 1)].append(loss)
    span = (high - low) or 1.0
    return [
        round((high - sum(some) / len(some)) / span * (height - 1)) if some else None for some in gathered
    ]

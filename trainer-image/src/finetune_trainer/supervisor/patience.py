"""How the grace period is shared after SIGTERM: the ranks first, then the last checkpoint's way out, then the last word. Pure.

SIGTERM ── ranks save and end ──┬── upload ──┬── last word ──┤ SIGKILL
                                └ a quarter, at most 20 s, are kept for these
"""

import math
import time

from finetune_trainer import config
from finetune_trainer.interruption import Interruption
from finetune_trainer.supervisor.watch import Patience

UPLOAD_SHARE, UPLOAD_SECONDS = 0.25, 20.0
"""Of the grace period, what is left after the ranks."""

WITHOUT_HASTE = 60.0
"""Seconds that a checkpoint's upload is tried for where nobody waits: the ranks have failed, and the pod is about to end."""

TRACKERS, TRACKERS_IN_HASTE = 30.0, 5.0
"""Seconds that trackers may take when training is over; less after SIGTERM, and where there is no result."""


def for_ranks(limits: config.Limits, *, leads: bool = True) -> Patience:
    """How long the ranks may take for what. Progress is rank 0's to tell: other nodes only see whether node 0 is there."""
    grace = float(limits.grace_period_seconds)
    return Patience(
        stall=float(limits.stall_timeout_seconds) if leads else math.inf,
        stop=grace - min(UPLOAD_SECONDS, UPLOAD_SHARE * grace),
    )


def for_uploads(limits: config.Limits, interruption: Interruption) -> float:
    """Seconds for the last checkpoint's way out."""
    if interruption.noted_at is None:
        return WITHOUT_HASTE
    return max(
        0.0, interruption.noted_at + interruption.usable(limits.grace_period_seconds) - time.monotonic()
    )


def for_trackers(limits: config.Limits, interruption: Interruption, *, result: bool) -> float:
    """Seconds for the trackers' last figures, after training. The result and the last word are worth more than these.

    `result`: there is one, with figures that only the end tells. Else the next attempt shall not wait for them.
    """
    if interruption.noted_at is None:
        return TRACKERS if result else TRACKERS_IN_HASTE
    return min(TRACKERS_IN_HASTE, for_uploads(limits, interruption) * UPLOAD_SHARE)

"""The time between the start of the ranks and their end: forward SIGTERM, judge the heartbeat, see the last one go."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from finetune_trainer.supervisor.processes import Processes

TICK = 0.2
"""Seconds between two looks."""

LINGER = 10.0
"""Seconds that a process may outlive the ranks' verdicts (a hung exit handler, a forgotten worker)."""


class End(Enum):
    """Why the ranks are gone."""

    ENDED = "by themselves"
    INTERRUPTED = "told to stop, they did"
    OVERDUE = "told to stop, they had to be killed"
    STALLED = "killed, because nothing moved any more"
    DESERTED = "killed, because another node's are gone"


@dataclass
class Heartbeat:
    """Seconds since the progress document last changed, by our own clock: the ranks' clock may jump."""

    path: Path
    clock: Callable[[], float]
    _seen: object = None
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self.clock()

    def age(self) -> float:
        """How long nothing has moved (s)."""
        try:
            now: object = self.path.stat().st_mtime_ns, self.path.stat().st_ino
        except OSError:
            now = None
        if now != self._seen:
            self._seen, self._since = now, self.clock()
        return self.clock() - self._since


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long things may take (s)."""

    stall: float
    """Without any progress."""
    stop: float
    """From SIGTERM to the last rank's end."""


def until_gone(
    processes: Processes,
    *,
    stopping: Callable[[], bool],
    spoken: Callable[[], bool],
    heartbeat: Heartbeat,
    patience: Patience,
    deserted: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> End:
    """Watch until no process is left. `stopping`: the pod was told to end. `spoken`: every rank left its verdict.

    `deserted`: another node's ranks are gone, which these may learn by themselves, or never.
    """
    told_at: float | None = None
    deserted_at: float | None = None
    spoken_at: float | None = None
    while processes.alive():
        now = clock()
        if stopping() and told_at is None:
            told_at = now
            processes.interrupt()
        if spoken() and spoken_at is None:
            spoken_at = now
        if deserted_at is None and told_at is None and deserted():
            deserted_at = now
        if deserted_at is not None and now - deserted_at > LINGER:
            processes.kill()
            return End.DESERTED
        if told_at is not None and now - told_at > patience.stop:
            processes.kill()
            return End.OVERDUE
        if spoken_at is not None and now - spoken_at > LINGER:
            processes.kill()
        elif spoken_at is None and told_at is None and heartbeat.age() > patience.stall:
            processes.kill()
            return End.STALLED
        sleep(TICK)
    return End.INTERRUPTED if told_at is not None else End.ENDED

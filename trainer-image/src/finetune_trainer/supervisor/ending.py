"""How a stage ends; and that it does so in time: after SIGTERM the grace period ends without a word, unless we end first."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finetune_trainer import errors
from finetune_trainer.interruption import Interruption

LOOK = 0.1
"""Seconds between two looks at the clock."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a stage ended, as exit code and last word tell it."""

    exit_code: int
    reason: str
    message: str
    result: dict[str, Any] | None = None


OVERDUE = errors.Interrupted(
    "stopped from outside (SIGTERM), and did not finish within the grace period; what was in the bucket before is unchanged"
)
"""Whatever it was: a download deaf to exceptions, an upload to a bucket that hardly answers."""


class LastMoment:
    """Calls `close` shortly before the grace period ends, from a thread of its own, however busy the others are.

    The signal is heard through a pipe that Python's C handler writes to: a main thread that does not come back from a library
    runs no handler of ours.
    """

    def __init__(self, told: Interruption, *, close: Callable[[Ending], object]) -> None:
        """`close` must end the process."""
        self._told = told
        self._close = close
        self._over = threading.Event()
        self.ending: Callable[[], Ending] = lambda: Ending(
            exit_code=errors.exit_code_of(OVERDUE), reason=OVERDUE.reason, message=str(OVERDUE)
        )
        """What will be said; whoever knows more replaces it."""

    def watch(self, *, grace: float) -> None:
        """Begin to look; from the main thread. `grace`: seconds from SIGTERM to SIGKILL."""
        heard, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        looking = threading.Thread(target=self._look, args=(heard, grace), name="last-moment", daemon=True)
        looking.start()

    def over(self) -> None:
        """The stage has ended by itself."""
        self._over.set()

    def _look(self, heard: int, grace: float) -> None:
        since: float | None = None
        while not self._over.is_set():
            if select.select([heard], [], [], LOOK)[0] and signal.SIGTERM in os.read(heard, 64):
                since = since or time.monotonic()
            if since is not None and time.monotonic() - since > self._told.usable(grace):
                self._close(self.ending())
                return

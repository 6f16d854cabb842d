"""SIGTERM inside a rank: at once where nothing can be lost, at the end of a step while training."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from finetune_trainer import errors

LAST_WORD_SHARE, LEAST_LAST_WORD, MOST_LAST_WORD = 0.05, 0.5, 5.0
"""Of the grace period (at least and at most so many seconds), what is kept for the last word."""


class Interruption:
    """Whether the pod was told to end. One per process, installed before anything slow is imported."""

    def __init__(self) -> None:
        self.noted = False
        self.noted_at: float | None = None
        """When (s of `time.monotonic`)."""
        self._deferred = False

    def install(self) -> None:
        """Take SIGTERM: python as PID 1 would ignore it, and else it would end without a word."""
        signal.signal(signal.SIGTERM, self._on_signal)

    @staticmethod
    def usable(grace: float) -> float:
        """Seconds of the grace period (s) in which work may still be done: then comes the last word, and SIGKILL."""
        return grace - min(max(LAST_WORD_SHARE * grace, LEAST_LAST_WORD), MOST_LAST_WORD)

    def check(self) -> None:
        """Raise `Interrupted` where SIGTERM has come."""
        if self.noted:
            raise errors.Interrupted("stopped from outside (SIGTERM); nothing that was saved is lost")

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note SIGTERM meanwhile: the training loop saves first, and stops by itself."""
        self.check()
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def end(self) -> None:
        """From here on nothing is left to interrupt."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: object) -> None:
        """Raise once: a second signal must not break off what the first one started."""
        del number, frame
        first, self.noted = not self.noted, True
        if first:
            self.noted_at = time.monotonic()
        if first and not self._deferred:
            self.check()

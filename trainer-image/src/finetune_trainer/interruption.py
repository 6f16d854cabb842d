"""SIGTERM inside a rank: at once where nothing can be lost, at the end of a step while training."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from finetune_trainer import errors


class Interruption:
    """Whether the pod was told to end. One per process, installed before anything slow is imported."""

    def __init__(self) -> None:
        self.noted = False
        self._deferred = False

    def install(self) -> None:
        """Take SIGTERM: python as PID 1 would ignore it, and else it would end without a word."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def check(self) -> None:
        """Raise `Interrupted` where SIGTERM has come."""
        if self.noted:
            raise errors.Interrupted("stopped by SIGTERM; nothing that was saved is lost")

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
        if first and not self._deferred:
            self.check()

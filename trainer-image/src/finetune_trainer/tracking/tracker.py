"""What every tracker can do; one module each says how. They may raise anything, block, or never come back."""

from collections.abc import Sequence
from typing import Protocol

from finetune_trainer.tracking.assignment import Finish
from finetune_trainer.tracking.figures import Entry, Taken


class Tracker(Protocol):
    """One job's run at one tracker: the same one in every attempt."""

    def begin(self) -> Taken:
        """Open the run, or the one that an earlier attempt has opened; what it has already. Called again after a failure."""

    def tell(self, entries: Sequence[Entry]) -> None:
        """Log them, in their order."""

    def end(self, finish: Finish) -> None:
        """Log how good the result is, and close the run. An interrupted one goes on later."""

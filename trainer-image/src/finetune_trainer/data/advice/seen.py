"""What advice depends on, and what a piece of advice is."""

from collections.abc import Callable
from dataclasses import dataclass

from finetune_trainer import config
from finetune_trainer.data.figures import Figures
from finetune_trainer.prepared import Packed, Resolved

ENOUGH_TO_JUDGE = 20
"""Rows below which shares say nothing."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the advice depends on."""

    figures: Figures
    run: config.Run
    resolved: Resolved
    usual_rate: float
    """The learning rate that would be chosen."""
    usual_epochs: float
    """The number of epochs that would be chosen."""
    positions: int | None
    """The longest row that the model was made for (tokens); None: it does not say."""
    chat: bool
    """Whether the model, or the spec, brings a chat template."""
    plain: bool
    """Whether the model has no chat template and its conversations are rendered by a plain one."""
    packed: Packed | None = None
    """None where each row is a sequence of its own."""

    @property
    def share(self) -> float:
        """One row as a share of all that are trained on."""
        return 1 / max(self.figures.rows, 1)

    @property
    def judged(self) -> bool:
        """Whether there are rows enough for shares to mean something."""
        return self.figures.rows >= ENOUGH_TO_JUDGE

    @property
    def prose(self) -> bool:
        """Whether most rows of an epoch are plain text, without questions and answers."""
        sources = self.figures.sources
        plain = sum(source.seen for source in sources if source.format == "text")
        return 2 * plain > sum(source.seen for source in sources)

    @property
    def length_of_training(self) -> str:
        """The field that says how long training is."""
        return f"spec.training.{'maxSteps' if self.run.training.max_steps else 'epochs'}"


Rule = Callable[[Seen], str | None]
"""The sentence; None: nothing to say. The rule's docstring says when it speaks, for the docs."""

"""What libraries write into every checkpoint for people to read, left out: training stands still while it is written.

Two model cards, whose templates are compiled each time, and the tokenizer. What is published gets its own. Of sharded weights
transformers writes the whole twice: once for people, and once in a file that it goes on from.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import Trainer


@contextmanager
def bare(trainer: Trainer) -> Iterator[None]:
    """Checkpoints that `trainer` writes meanwhile hold what is needed to go on, and the training arguments."""
    writers: list[tuple[Any, str]] = [
        (trainer, "create_model_card"),  # TRL
        (trainer.model, "create_or_update_model_card"),  # PEFT
        (trainer.processing_class, "save_pretrained"),
        *([(trainer, "save_model")] if trainer.is_fsdp_enabled else []),
    ]
    found = [(owner, name) for owner, name in writers if hasattr(owner, name)]
    for owner, name in found:
        setattr(owner, name, _nothing)
    try:
        yield
    finally:
        for owner, name in found:
            delattr(owner, name)


def _nothing(*_: Any, **__: Any) -> None:
    """In place of what writes."""

"""The figures of a run, written down while they are logged: what trackers follow."""
# ruff: noqa: ARG002 - transformers calls every hook with everything it has

import contextlib
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer import history

SUMMARY = "train_runtime"
"""In the entry that transformers adds when its loop ends. An interrupted loop has one too, which no checkpoint and so no
metrics.jsonl holds; the one that counts is told with the end.
"""


class Recording(TrainerCallback):
    """Rank 0 keeps a file of the log so far, in the lines that metrics.jsonl will have. That it cannot be written is no failure."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = 0
        """Entries of the log."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Begin another file, with what the checkpoint knows: steps after it will be logged again."""
        with contextlib.suppress(OSError):
            beginning = self._path.with_name(f".{self._path.name}")
            beginning.write_text(history.jsonl(state.log_history), encoding="utf-8")
            beginning.replace(self._path)
            self._written = len(state.log_history)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Add what is new. transformers has put it into its log before it calls."""
        new = [entry for entry in state.log_history[self._written :] if SUMMARY not in entry]
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(history.jsonl(new))
            self._written = len(state.log_history)

"""A clock inside any of transformers' trainers: one JSON line a step, beside the folder that the trainer saves to."""
# ruff: noqa: ARG002 - transformers calls every hook with everything it has

import json
import time
from pathlib import Path
from typing import Any

from bench_trainer_sides import CLOCK
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, trainer


class Clock(TrainerCallback):
    """When each step ended: seconds of the machine's clock, CPU seconds of this process, whether it saved, its loss."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Before anything else that is done between two steps."""
        self._lines.append(
            {"step": state.global_step, "at": time.monotonic(), "cpu": time.process_time(), "saved": False}
        )

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """The loss to the last bit, and the tokens so far that are no padding."""
        if "loss" in given["logs"]:
            self._lines[-1] |= {name: given["logs"].get(name) for name in ("loss", "num_tokens")}

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """A checkpoint was written."""
        self._lines[-1]["saved"] = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """All at once: writing is not what is measured."""
        text = "".join(json.dumps(line) + "\n" for line in self._lines)
        (Path(str(args.output_dir)).parent / CLOCK).write_text(text)


def install() -> None:
    """Have every trainer of this process carry a clock."""
    trainer.DEFAULT_CALLBACKS.append(Clock)

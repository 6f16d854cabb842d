"""Installed libraries that a process does without. PEFT and torch import them all the same, for seconds of every start."""

import sys
from collections.abc import Iterable

from finetune_trainer import config

BITSANDBYTES = "bitsandbytes"
"""4-bit weights and 8-bit optimisers; it brings torch's compiler along, 2 s."""

FOR_GPUS = frozenset({"cuda", "triton"})
"""Nvidia's bindings and the kernels' compiler. torch does without: its builds for CPU bring neither."""

TRACKERS = frozenset({"mlflow", "tensorboardX", "wandb"})
"""Theirs are processes of their own; transformers and TRL import whatever they find installed."""

IN_PREPARE = FOR_GPUS | TRACKERS | {BITSANDBYTES}
"""Prepare builds the model without weights, and computes nothing."""


def of(run: config.Run) -> frozenset[str]:
    """Top-level modules that nothing in the ranks of `run` calls."""
    optimizer = run.training.optimizer
    quantised = run.tuning.type == "QLoRA" or "8bit" in optimizer or optimizer.startswith("paged")
    found = TRACKERS if quantised else TRACKERS | {BITSANDBYTES}
    return found | FOR_GPUS if run.resources.accelerator == "cpu" else found


def leave_out(names: Iterable[str]) -> None:
    """Make modules look as if they were not installed, to whoever is imported in this process from now on."""
    for name in names:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to say so

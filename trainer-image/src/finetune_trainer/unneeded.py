"""Installed libraries that a process does without. PEFT and torch import them all the same, for seconds of every start."""

import os
import sys
from collections.abc import Set as AbstractSet

from finetune_trainer import config

BITSANDBYTES = "bitsandbytes"
"""4-bit weights and 8-bit optimisers; it brings torch's compiler along, 2 s."""

FOR_GPUS = frozenset({"cuda", "triton"})
"""Nvidia's bindings and the kernels' compiler. torch does without: its builds for CPU bring neither."""

TRACKERS = frozenset({"mlflow", "tensorboardX", "wandb"})
"""Theirs are processes of their own; transformers and TRL import whatever they find installed."""

TORCH = "torch"
"""Tokenizers and rows do without."""

WITHOUT_WEIGHTS = FOR_GPUS | TRACKERS | {BITSANDBYTES}
"""What is built without weights computes nothing."""


def in_prepare(run: config.Run) -> frozenset[str]:
    """Top-level modules that nothing in the Prepare process of `run` calls. The model is looked at by another (`looking`).

    TRL is asked about `extra`, PEFT about the adapter of `adapterFrom`, and transformers which models are encoders: all of them
    are made of torch.
    """
    asked = run.training.extra or run.model.adapter_from or run.evaluation.bert_score
    return WITHOUT_WEIGHTS if asked else WITHOUT_WEIGHTS | {TORCH}


def of(run: config.Run) -> frozenset[str]:
    """Top-level modules that nothing in the ranks of `run` calls."""
    optimizer = run.training.optimizer
    quantised = run.tuning.type == "QLoRA" or "8bit" in optimizer or optimizer.startswith("paged")
    found = TRACKERS if quantised else TRACKERS | {BITSANDBYTES}
    return found | FOR_GPUS if run.resources.accelerator == "cpu" else found


def leave_out(names: AbstractSet[str]) -> None:
    """Make modules look as if they were not installed, to whoever is imported in this process from now on.

    What is imported already stays.
    """
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # Python's own way to say so
    if TORCH in names:
        os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"  # that torch is not there


def left_out(name: str) -> bool:
    """Whether this process does without the module `name`."""
    return sys.modules.get(name, sys) is None

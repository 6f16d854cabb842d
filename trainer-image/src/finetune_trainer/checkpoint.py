"""What makes a checkpoint one that training may go on from.

Checkpoints are folders of many files, not written atomically: without `optimizer.pt` transformers goes on with a
fresh optimiser and says nothing. So a folder counts only with a manifest that names every file, its size and digest,
the step, and a fingerprint of all that shapes the weights. The manifest is written last.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from finetune_trainer import config, sharding
from finetune_trainer.prepared import FileFacts

MANIFEST = "checkpoint.json"
"""Written last: a folder without it is unfinished."""

NOT_KEPT = (
    "training_args.bin",
    "README.md",
    "chat_template.jinja",
    "tokenizer",
    "vocab",
    "merges",
    "special_tokens",
)
"""Beginnings of file names that transformers saves, and that nobody needs to go on: a pickle, and copies of the model's files."""

SHAPING = {
    "training": {
        "learning_rate", "lr_scheduler", "warmup_ratio", "global_batch_size", "max_length",
        "packing", "loss_on", "optimizer", "weight_decay", "max_grad_norm", "precision", "group_by_length", "seed",
        "neftune_noise_alpha", "early_stopping", "dpo", "extra",
    },
    "tuning": {"type", "lora", "quantization"},
}  # fmt: skip
"""Settings that shape the weights. How many steps are made is not among them: within a job it never changes, and a job that
goes on from another one's checkpoint may make more. Micro-batch, memory savings and the number of processes do not shape them
either: the global batch counts.

But KTO compares the rows of a micro-batch with each other, and sharded weights lie in files of their own kind.
"""


class Manifest(config.Value):
    """What a finished checkpoint holds."""

    version: Literal[1] = 1
    step: int
    """Optimiser steps done."""
    fingerprint: str
    """Of the settings and data that made it."""
    time: datetime
    """When it was sealed."""
    files: dict[str, FileFacts]


def shaping(run: config.Run) -> dict[str, Any]:
    """What the spec says that shapes the weights, by field. Not how many steps are made: that may change under way."""
    kto = {"micro_batch_size"} if run.method == "KTO" else set()
    return {
        "spec.method": run.method,
        "spec.model.uri": run.model.uri,
        **_said("training", run.training, SHAPING["training"] | kto),
        **_said("tuning", run.tuning, SHAPING["tuning"]),
        **({"how processes hold the weights": "sharded"} if sharding.sharded(run) else {}),
    }


def _said(part: str, value: config.Value, names: set[str]) -> dict[str, Any]:
    """The fields `names` of a part of the spec, by their path."""
    dumped = value.model_dump(mode="json", by_alias=True, include=names)
    return {f"spec.{part}.{name}": said for name, said in dumped.items()}


def fingerprint(run: config.Run, *, data: str, revision: str | None) -> str:
    """`sha256:...` of what shapes the weights: settings, the digest of the prepared data, the base model's revision."""
    whole = {**shaping(run), "data": data, "revision": revision}
    return "sha256:" + hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def sealed(folder: Path, *, step: int, fingerprint: str, time: datetime) -> Manifest:
    """The manifest of a folder whose files are complete. What is not needed to go on is removed first."""
    for path in folder.iterdir():
        if path.name.startswith(NOT_KEPT):
            path.unlink()
    files = {
        path.relative_to(folder).as_posix(): FileFacts.of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    files.pop(MANIFEST, None)
    return Manifest(step=step, fingerprint=fingerprint, time=time, files=files)


def damage(folder: Path, files: Mapping[str, FileFacts]) -> str | None:
    """What is wrong with the files in `folder`, as half a sentence; None where each is there as it was sealed."""
    for name, promised in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        found = FileFacts.of(path)
        if found.size != promised.size:
            return f"{name} has {found.size} bytes instead of {promised.size}"
        if found.sha256 != promised.sha256:
            return f"{name} is not what was saved"
    return None

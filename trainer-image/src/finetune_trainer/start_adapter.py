"""The adapter that training goes on from (`model.adapterFrom`), as Prepare leaves it: with the prepared dataset.

    dataset/<64 hex>/start/adapter_model.safetensors, adapter_config.json

So the dataset's digest names it too, and training reads what Prepare has checked, whatever happens to the place it came from.
What shapes its weights (rank, alpha, target modules, ...) is the adapter's; `tuning.lora` may only agree.
"""

import json
from pathlib import Path
from typing import Any

from finetune_trainer import config

FOLDER = "start"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def folder(run: config.Run, dataset: Path) -> Path | None:
    """Where the adapter lies below the prepared dataset's folder; None where training starts from a new one."""
    return dataset / FOLDER if run.origins and run.origins.adapter else None


def names(run: config.Run) -> tuple[str, ...]:
    """The files that it adds to the prepared dataset."""
    return (f"{FOLDER}/{CONFIG}", f"{FOLDER}/{WEIGHTS}") if run.origins and run.origins.adapter else ()


def applied(run: config.Run, dataset: Path) -> config.Run:
    """`run` with what the adapter in the prepared dataset is made of, if there is one. Dropout stays the run's own."""
    start = folder(run, dataset)
    if start is None:
        return run
    lora = lora_of(json.loads((start / CONFIG).read_bytes()), dropout=run.tuning.lora.dropout)
    return run.model_copy(update={"tuning": run.tuning.model_copy(update={"lora": lora})})


def lora_of(settings: dict[str, Any], *, dropout: float) -> config.Lora:
    """PEFT's settings in the spec's words."""
    targets = settings["target_modules"]
    return config.Lora(
        rank=settings["r"],
        alpha=settings["lora_alpha"],
        dropout=dropout,
        target_modules=tuple(sorted(targets)) if isinstance(targets, list) else (str(targets),),
        dora=settings.get("use_dora") or False,
        rslora=settings.get("use_rslora") or False,
        modules_to_save=tuple(sorted(settings.get("modules_to_save") or ())),
    )

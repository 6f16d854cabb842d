"""Our few knobs in TRL's words, for each method.

Everything is said that a library would choose by itself and we have an opinion on.
"""

import importlib
from pathlib import Path
from typing import Any, cast

from transformers import TrainingArguments

from finetune_trainer import batches, config, cycles, sharding
from finetune_trainer.accelerator import Arithmetic
from finetune_trainer.prepared import Resolved

GANG_TIMEOUT = 24 * 3600
"""Seconds a rank waits for the others: longer than any evaluation of rank 0. A gang that hangs is seen by the heartbeat."""

BETA = 0.1
"""How close to the reference DPO and KTO stay, and ORPO's weight of the odds ratio: TRL's own, and the papers'."""

CONFIGS = {
    "SFT": "trl.trainer.sft_config.SFTConfig",
    "DPO": "trl.trainer.dpo_config.DPOConfig",
    "ORPO": "trl.experimental.orpo.orpo_config.ORPOConfig",
    "KTO": "trl.trainer.kto_config.KTOConfig",
}
TRAINERS = {
    "SFT": "trl.trainer.sft_trainer.SFTTrainer",
    "DPO": "trl.trainer.dpo_trainer.DPOTrainer",
    "ORPO": "trl.experimental.orpo.orpo_trainer.ORPOTrainer",
    "KTO": "trl.trainer.kto_trainer.KTOTrainer",
}
"""Imported by name, and only the one that is used: ORPO's takes two seconds more than SFT's."""


def imported(place: str) -> Any:
    """The class at `place`."""
    module, _, name = place.rpartition(".")
    with cycles.unsought():
        return getattr(importlib.import_module(module), name)


def arguments(run: config.Run, resolved: Resolved, arithmetic: Arithmetic, output: Path) -> TrainingArguments:
    """The settings of the method's trainer."""
    said = _common(run, resolved, arithmetic, output) | _of_method(run, resolved)
    said |= run.training.extra or {}  # Prepare has held it against the trainer's fields (extra.py)
    return cast("TrainingArguments", imported(CONFIGS[run.method])(**said))


def _common(run: config.Run, resolved: Resolved, arithmetic: Arithmetic, output: Path) -> dict[str, Any]:
    training = run.training
    micro, accumulation = batches.shared(resolved, run.resources.processes)
    return {
        "output_dir": str(output),
        # How long, how fast.
        "max_steps": resolved.total_steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": resolved.learning_rate,
        "lr_scheduler_type": training.lr_scheduler,
        "warmup_steps": round(training.warmup_ratio * resolved.total_steps),
        "optim": training.optimizer,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "neftune_noise_alpha": training.neftune_noise_alpha,
        "seed": training.seed,
        "data_seed": training.seed,
        "train_sampling_strategy": "sequential" if training.group_by_length else "random",  # see grouped.py
        # Arithmetic.
        "use_cpu": arithmetic.use_cpu,
        "bf16": arithmetic.bf16,
        "fp16": arithmetic.fp16,
        "tf32": arithmetic.tf32,
        "activation_checkpointing": arithmetic.activation_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False}
        if arithmetic.activation_checkpointing
        else None,
        "ddp_find_unused_parameters": False,
        **sharding.arguments(run),
        "ddp_timeout": GANG_TIMEOUT,
        # Saving, logging and evaluating are ours (callbacks.py, evaluate.py).
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # would log a loss of 0.0 where it is NaN, and train on
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,  # SIGTERM goes to the whole group: a worker that dies of it fails the step
    }


def _of_method(run: config.Run, resolved: Resolved) -> dict[str, Any]:
    if run.method == "SFT":
        # The rows are tokenised, masked and cut already; TRL would drop rows without a word.
        return {
            "max_length": None,
            "dataset_kwargs": {"skip_prepare_dataset": True},
            # Prepare has said which rows share a sequence; here it only chooses the collator that keeps them apart.
            "packing": run.training.packing,
            "packing_strategy": "bfd",
        }
    said = run.training.dpo or config.Dpo()
    shared = {
        # Nothing of ours is longer; but KTO puts a question beside another's answer, and that may be.
        "max_length": resolved.max_length,
        "beta": beta(run),
        # By default TRL takes dropout out of the whole model, adapters included: then `lora.dropout` would do nothing.
        "disable_dropout": run.tuning.type == "Full" or run.tuning.lora.dropout == 0.0,
    }
    if run.method == "ORPO":
        return {**shared, "remove_unused_columns": False}
    if run.method == "KTO":
        kto = {"loss_type": said.loss_type[0]} if said.loss_type else {}
        return {**shared, **kto, "train_sampling_strategy": "sequential"}
    dpo = {"loss_type": list(said.loss_type)} if said.loss_type else {}
    return {**shared, **dpo, "label_smoothing": said.label_smoothing or 0.0}


def beta(run: config.Run) -> float:
    """The method's beta."""
    said = run.training.dpo
    return BETA if said is None or said.beta is None else said.beta

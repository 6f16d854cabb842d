"""Training: our few knobs in TRL's words, its trainer called and never subclassed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import datasets
import pyarrow.parquet
import transformers
from peft import LoraConfig, load_peft_weights, set_peft_model_state_dict
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from finetune_trainer import callbacks, config, errors
from finetune_trainer.accelerator import Arithmetic
from finetune_trainer.interruption import Interruption
from finetune_trainer.prepared import Resolved
from finetune_trainer.task import Task

COLUMNS = ["input_ids", "labels"]

DEFAULT_CHECKPOINT_MINUTES = 10.0

GANG_TIMEOUT = 24 * 3600
"""Seconds a rank waits for the others (CUDA): longer than any evaluation of rank 0. A gang that hangs is seen by the heartbeat."""


def rows(file: Path) -> datasets.Dataset:
    """The tokenised rows of a prepared Parquet file: `input_ids` and `labels`, -100 where nothing is learned."""
    return datasets.Dataset(pyarrow.parquet.read_table(file, columns=COLUMNS))


def sft_args(run: config.Run, resolved: Resolved, arithmetic: Arithmetic, output: Path) -> SFTConfig:
    """TRL's settings. Everything is said that TRL or transformers would choose by themselves and we have an opinion on."""
    training = run.training
    micro, accumulation = batches(resolved, run.resources.processes)
    return SFTConfig(
        output_dir=str(output),
        # How long, how fast.
        max_steps=resolved.total_steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        learning_rate=resolved.learning_rate,
        lr_scheduler_type=training.lr_scheduler,
        warmup_steps=round(training.warmup_ratio * resolved.total_steps),
        optim=training.optimizer,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        neftune_noise_alpha=training.neftune_noise_alpha,
        seed=training.seed,
        data_seed=training.seed,
        train_sampling_strategy="group_by_length" if training.group_by_length else "random",
        # The rows are tokenised, masked and cut already; TRL would drop rows without a word.
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        packing=False,
        # Arithmetic.
        use_cpu=arithmetic.use_cpu,
        bf16=arithmetic.bf16,
        fp16=arithmetic.fp16,
        tf32=arithmetic.tf32,
        activation_checkpointing=arithmetic.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False}
        if arithmetic.activation_checkpointing
        else None,
        ddp_find_unused_parameters=False,
        ddp_timeout=GANG_TIMEOUT,
        # Saving, logging and evaluating are ours (callbacks.py, evaluate.py).
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # would log a loss of 0.0 where it is NaN, and train on
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,  # SIGTERM goes to the whole group: a worker that dies of it fails the step
    )


def batches(resolved: Resolved, processes: int) -> tuple[int, int]:
    """Rows per forward pass, and forward passes per step, so that all processes together see the global batch exactly."""
    per_process, rest = divmod(resolved.global_batch_size, processes)
    if rest or not per_process:
        raise errors.InvalidBatchSize(
            f"spec.training.globalBatchSize: {resolved.global_batch_size} rows cannot be shared equally by {processes} "
            f"processes; use a multiple of {processes}"
        )
    micro = next(
        rows for rows in range(min(resolved.micro_batch_size, per_process), 0, -1) if per_process % rows == 0
    )
    return micro, per_process // micro


def lora(tuning: config.Tuning, resolved: Resolved, *, revision: str | None) -> LoraConfig:
    """The adapter, in PEFT's words. `all-linear` beside other names is none that PEFT knows: Prepare has resolved it."""
    said = tuning.lora
    modules = list(said.target_modules)
    if "all-linear" in modules and len(modules) > 1:
        modules = list(resolved.target_modules)
    return LoraConfig(
        r=said.rank,
        lora_alpha=2 * said.rank
        if said.alpha is None
        else cast("int", said.alpha),  # only ever multiplied by
        lora_dropout=said.dropout,
        target_modules="all-linear" if modules == ["all-linear"] else modules,
        use_dora=said.dora,
        use_rslora=said.rslora,
        modules_to_save=list(said.modules_to_save) or None,
        revision=revision,
        task_type="CAUSAL_LM",
    )


def make_trainer(
    run: config.Run,
    resolved: Resolved,
    arithmetic: Arithmetic,
    *,
    task: Task,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    revision: str | None,
) -> SFTTrainer:
    """The trainer with a fresh adapter around `model`; nothing has been trained yet."""
    return SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=rows(task.dataset / "train.parquet"),
        args=sft_args(run, resolved, arithmetic, task.output),
        peft_config=lora(run.tuning, resolved, revision=revision),
    )


def assert_promised(trainer: SFTTrainer, run: config.Run, world: int) -> None:
    """Several launchers start single processes without a word, each of which would train alone into the same folder."""
    found = int(trainer.args.world_size)
    if not found == world == run.resources.processes:
        raise errors.InternalError(
            f"{run.resources.processes} processes were promised, the launcher told of {world}, and the trainer sees {found}; "
            "nothing was trained"
        )


def fit(
    trainer: SFTTrainer,
    run: config.Run,
    *,
    task: Task,
    interruption: Interruption,
    tell: callbacks.Tell,
    measure: Callable[[], float | None],
    beside: tuple[Path, ...],
) -> callbacks.Telling:
    """Train to the last step, from `task.resume` where there is one; what was told last.

    Raises `Interrupted` where SIGTERM came before the last step: its checkpoint is written then, and nothing else is.
    """
    steering = callbacks.Steering(
        interruption,
        every_steps=run.checkpoint.every_steps,
        every_minutes=_minutes(run.checkpoint),
    )
    every = run.evaluation.every_steps
    measuring = [callbacks.Measuring(measure, every_steps=every)] if every else []
    telling = callbacks.Telling(tell, flops_per_token=_flops_share(trainer, run))
    for one in (
        callbacks.Finite(), *measuring, steering, callbacks.SettingApart(task.finished, tell, beside=beside)
    ):  # fmt: skip
        trainer.add_callback(one)
    if trainer.is_world_process_zero():
        trainer.add_callback(telling)
    trainer.remove_callback(transformers.PrinterCallback)
    transformers.set_seed(run.training.seed)  # whatever was evaluated before must not move the dice
    if task.resume and _trained_already(trainer, task.resume):
        return telling
    with interruption.deferred():
        trainer.train(resume_from_checkpoint=str(task.resume) if task.resume else None)
    if steering.stopped:
        step = trainer.state.global_step
        raise errors.Interrupted(
            f"stopped by SIGTERM at step {step} of {trainer.state.max_steps}, after a checkpoint"
        )
    return telling


def _trained_already(trainer: SFTTrainer, resume: Path) -> bool:
    """Whether the checkpoint is that of the last step; its weights are taken then, and no step is made.

    transformers' loop would make one more where the last step lies within an epoch: it looks at `max_steps` after a step.
    """
    state = transformers.TrainerState.load_from_json(str(resume / "trainer_state.json"))
    if state.global_step < trainer.args.max_steps:
        return False
    set_peft_model_state_dict(trainer.model, load_peft_weights(str(resume)))
    trainer.state = state
    return True


def _minutes(said: config.Checkpoint) -> float | None:
    if said.every_steps is not None:
        return None
    return DEFAULT_CHECKPOINT_MINUTES if said.every_minutes is None else said.every_minutes


def _flops_share(trainer: Any, run: config.Run) -> float | None:
    """What one token per second takes of all GPUs' arithmetic; None where the profile does not say how fast they are.

    4 operations per weight and token: forward, and backward through frozen weights, whose own gradients nobody needs.
    """
    if not run.resources.gpu_teraflops:
        return None
    weights = sum(int(weight.numel()) for weight in trainer.model.parameters())
    return 4.0 * weights / (run.resources.gpu_teraflops * 1e12 * run.resources.processes)

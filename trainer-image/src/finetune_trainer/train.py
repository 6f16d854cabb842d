"""Training: TRL's trainers, called and never subclassed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import datasets
import torch
import transformers
from peft import LoraConfig, PeftModel, load_peft_weights, set_peft_model_state_dict
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

from finetune_trainer import (
    arguments,
    callbacks,
    config,
    errors,
    failpoints,
    grouped,
    isolation,
    prepared,
    recording,
    reference,
    row_attention,
    saving,
    sharding,
    shards,
    start_adapter,
    tables,
    tiles,
)
from finetune_trainer.accelerator import Arithmetic
from finetune_trainer.interruption import Interruption
from finetune_trainer.model import with_adapter
from finetune_trainer.prepared import Resolved
from finetune_trainer.task import Task

DEFAULT_CHECKPOINT_MINUTES = 10.0

WITH_REFERENCE = frozenset({"DPO", "KTO"})
"""Methods that hold the model against what it was before."""


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
    load: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    revision: str | None,
) -> Trainer:
    """The method's trainer, around a base model that `load` gives; nothing has been trained yet, and no rows are packed (`pack`).

    With a new adapter the reference of DPO and KTO is the same model with the adapter put aside; with one that training goes
    on from, TRL keeps a copy of it (`reference.REFERENCE`). Where all weights are trained it is a second model.
    """
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        trainer = _made(
            run, resolved, arithmetic, task=task, load=load, tokenizer=tokenizer, revision=revision
        )
    except (ValueError, TypeError) as error:
        if not run.training.extra:
            raise
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise errors.SettingsDoNotFit(
            f"spec.training.extra: the trainer of {run.method} refuses the settings ({said}); correct them, or leave them out"
        ) from error
    _learn_in_float32(trainer)
    if start := start_adapter.folder(run, task.dataset):
        reference.begin_exactly(_model(trainer), start)
    if sharding.sharded(run):
        trainer.accelerator.state.fsdp_plugin.mixed_precision_policy = shards.policy(bf16=arithmetic.bf16)
    return trainer


def _made(
    run: config.Run,
    resolved: Resolved,
    arithmetic: Arithmetic,
    *,
    task: Task,
    load: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    revision: str | None,
) -> Trainer:
    full = run.tuning.type == "Full"
    start = start_adapter.folder(run, task.dataset)
    args = arguments.arguments(run, resolved, arithmetic, task.output)
    given: dict[str, Any] = {
        "model": with_adapter(load(), start, run, revision=revision) if start else load(),
        "args": args,
        "processing_class": tokenizer,
        "peft_config": None if full or start else lora(run.tuning, resolved, revision=revision),
    }
    if full and run.method in WITH_REFERENCE:
        given["ref_model"] = load()
    rows = tables.training_rows(
        task.dataset / prepared.TRAIN, run, micro=int(args.per_device_train_batch_size)
    )
    made = arguments.imported(arguments.TRAINERS[run.method])
    if run.method == "SFT":
        trainer: Trainer = made(train_dataset=rows, **given)
    else:
        trainer = made(train_dataset=tables.placeholder(run), **given)
        trainer.train_dataset = rows
    if run.training.group_by_length:
        batch = resolved.global_batch_size
        trainer.train_dataset = grouped.Grouped(rows, batch=batch, seed=run.training.seed)
    return trainer


def pack(trainer: Trainer, run: config.Run, arithmetic: Arithmetic, task: Task) -> None:
    """Where rows are packed: choose how packs are attended, and try whether this model, as it computes here, keeps rows apart.

    Raises `SettingsDoNotFit`.
    """
    by_row = False
    if run.training.packing and (shared := tables.first_shared(task.dataset, run)):
        model, collate = _model(trainer), trainer.data_collator
        sixteen = arithmetic.bf16 or arithmetic.fp16
        with trainer.compute_loss_context_manager():
            # What is sharded computes as a whole or not at all, and the trial is made with a part of it.
            if run.model.attention == "Auto" and not sharding.sharded(run):
                base = model.get_base_model() if isinstance(model, PeftModel) else model
                by_row = row_attention.take(base, collate, shared, sixteen=sixteen)
            isolation.check(model, collate, shared[:2], sixteen=sixteen)
    # With mixed precision each tile would cast the head's weights once more.
    tiles.cut(few=by_row and arithmetic.use_cpu and not arithmetic.bf16)


def _learn_in_float32(trainer: Trainer) -> None:
    """TRL casts adapters over 4-bit weights to bf16, and transformers reads them back from a checkpoint in float32."""
    for weight in _model(trainer).parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(torch.float32)


def _model(trainer: Trainer) -> Any:
    """The model as the trainer holds it, unwrapped."""
    return trainer.model


def assert_promised(trainer: Trainer, run: config.Run, *, rank: int, world: int) -> None:
    """The trainer sees the gang that was promised, and this rank in its place: else each would train alone."""
    found = int(trainer.args.world_size), int(trainer.args.process_index)
    if found != (run.resources.processes, rank) or world != run.resources.processes:
        raise errors.InternalError(
            f"{run.resources.processes} processes were promised, the launcher reported {world}, and the trainer of process {rank} "
            f"sees {found[0]} and believes to be number {found[1]}; nothing was trained, please report it"
        )
    if sharding.sharded(run) != trainer.accelerator.is_fsdp2:
        raise errors.InternalError(
            f"{sharding.told(run)} was promised, and the trainer has {trainer.accelerator.distributed_type}; nothing was trained, "
            "please report it"
        )


def fit(
    trainer: Trainer,
    run: config.Run,
    *,
    task: Task,
    interruption: Interruption,
    tell: callbacks.Tell,
    measure: Callable[[], float | None],
    tokens_per_epoch: int,
    beside: tuple[Path, ...],
    begin: Callable[[], object] | None = None,
) -> callbacks.Telling:
    """Train to the last step, from `task.resume` where there is one; what was told last.

    `begin` is called on every rank before the first step, once weights are sharded and those of the checkpoint are in place.

    Raises `Interrupted` where SIGTERM came before the last step: its checkpoint is written then, and nothing else is.
    """
    steering = callbacks.Steering(
        interruption,
        every_steps=run.checkpoint.every_steps,
        every_minutes=_minutes(run.checkpoint),
        early=run.training.early_stopping,
    )
    every, together = run.evaluation.every_steps, sharding.sharded(run)
    measuring = [callbacks.Measuring(measure, every_steps=every, together=together)] if every else []
    telling = callbacks.Telling(
        tell, tokens_per_epoch=tokens_per_epoch, flops_per_token=_flops_share(trainer, run)
    )
    beginning = [callbacks.Beginning(begin)] if begin else []
    for one in (
        *beginning, callbacks.Finite(), *measuring, steering, callbacks.SettingApart(task.finished, tell, beside=beside)
    ):  # fmt: skip
        trainer.add_callback(one)
    if trainer.is_world_process_zero():
        trainer.add_callback(telling)
        if run.tracking:
            trainer.add_callback(recording.Recording(task.figures))
    if failpoints.FAILPOINTS.armed:
        trainer.add_callback(callbacks.Failing())
    trainer.remove_callback(transformers.PrinterCallback)
    transformers.set_seed(run.training.seed)  # whatever was evaluated before must not move the dice
    if task.resume and _trained_already(trainer, task.resume, run.training.early_stopping):
        if begin:
            begin()
        return telling
    with interruption.deferred(), saving.bare(trainer):
        trainer.train(resume_from_checkpoint=str(task.resume) if task.resume else None)
    if steering.stopped:
        step = trainer.state.global_step
        raise errors.Interrupted(
            f"stopped from outside (SIGTERM) at step {step} of {trainer.state.max_steps}, after a checkpoint"
        )
    return telling


def _trained_already(trainer: Trainer, resume: Path, early: config.EarlyStopping | None) -> bool:
    """Whether the checkpoint is that of the last step; its weights are taken then, and no step is made.

    transformers' loop would make one more where the last step lies within an epoch: it looks at `max_steps` after a step.
    """
    state = transformers.TrainerState.load_from_json(str(resume / "trainer_state.json"))
    enough = early is not None and callbacks.no_longer_falls(state.log_history, early)
    if state.global_step < trainer.args.max_steps and not enough:
        return False
    if trainer.is_fsdp_enabled:  # weights find their place in shards alone, which training would have made
        rows = trainer.get_train_dataloader()
        trainer._prepare_for_training(trainer.args.max_steps, rows, str(resume))  # type: ignore[no-untyped-call]  # noqa: SLF001
    elif isinstance(trainer.model, PeftModel):
        set_peft_model_state_dict(trainer.model, load_peft_weights(str(resume)))
    else:
        trainer._load_from_checkpoint(str(resume))  # noqa: SLF001 - what transformers resumes by; shards have no other reader
    trainer.state = state
    return True


def _minutes(said: config.Checkpoint) -> float | None:
    if said.every_steps is not None:
        return None
    return DEFAULT_CHECKPOINT_MINUTES if said.every_minutes is None else said.every_minutes


def _flops_share(trainer: Trainer, run: config.Run) -> float | None:
    """What one token per second takes of all GPUs' arithmetic; None where the profile does not say how fast they are.

    Operations per weight and token: 2 forward, 2 backward, 2 more for the gradients of weights that learn, and 2 where a
    reference reads the same token.
    """
    if not run.resources.gpu_teraflops:
        return None
    model = _model(trainer)
    weights = (
        model.get_nb_trainable_parameters()[1]  # knows how many there are of a 4-bit one
        if isinstance(model, PeftModel)
        else sum(int(weight.numel()) for weight in model.parameters())
    )
    operations = (6.0 if run.tuning.type == "Full" else 4.0) + (2.0 if run.method in WITH_REFERENCE else 0.0)
    return operations * weights / (run.resources.gpu_teraflops * 1e12 * run.resources.processes)

"""What a rank does, in order: load, evaluate the base, train, evaluate, put the result together. Imports torch."""

import functools
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, cast

import torch
from transformers import Trainer

from finetune_trainer import (
    accelerator,
    callbacks,
    comparing,
    config,
    errors,
    gate,
    meeting,
    model,
    prepared,
    report,
    rounding,
    row_attention,
    sharding,
    shards,
    start_adapter,
    train,
    whole,
)
from finetune_trainer.asking import Asking, Following
from finetune_trainer.best import Best, Kept
from finetune_trainer.callbacks import Telling
from finetune_trainer.comparing import BASE, Comparing
from finetune_trainer.interruption import Interruption
from finetune_trainer.prepared import Prepared
from finetune_trainer.result import Result
from finetune_trainer.task import Evaluated, Task, Trained


class FineTuning:
    """One run on one rank. Rank 0 evaluates and puts the result together, the others train.

    Where weights are sharded, all ranks make the forward passes of the evaluation.
    """

    def __init__(self, task: Task, interruption: Interruption, *, rank: int, world: int) -> None:
        self._task = task
        self._interruption = interruption
        self._rank = rank
        self._world = world
        self._run = start_adapter.applied(config.load(task.run), task.dataset)
        ready = Prepared.model_validate_json((task.dataset / prepared.DOCUMENT).read_bytes())
        self._prepared = ready.at(task.micro_batch_size)
        self._sharded = sharding.sharded(self._run)
        self._writer = report.ProgressWriter(task.progress, attempt=task.attempt) if rank == 0 else None

    def go(self) -> Trainer:
        """All stages. Raises our errors, `Interrupted` among them; a return means that everything is done, with the trainer."""
        self._tell(stage="Load", total_steps=self._prepared.resolved.total_steps, message="loading the model")
        meeting.meet(self._run.resources, rank=self._rank, world=self._world)
        trainer = self._trainer()
        train.assert_promised(trainer, self._run, rank=self._rank, world=self._world)
        if not self._sharded:
            self._begin(trainer)
        telling = train.fit(
            trainer, self._run, task=self._task, interruption=self._interruption, tell=self._tell,
            measure=lambda: self._measured(trainer), tokens_per_epoch=self._prepared.tokens,
            beside=(self._task.work / BASE, *(self._best.files if self._best else ())),
            begin=(lambda: self._begin(trainer)) if self._sharded else None,
        )  # fmt: skip
        if self._best:
            self._return_to_best(trainer, self._best)
        saved = self._task.work / "saved"
        if self._dtype:
            rounding.round_to(trainer.model, self._dtype)
        if not self._whole:
            trainer.save_model(str(saved))
        compared = self._comparing.compare(trainer) if self._comparing else None
        weights = self._weights(trainer) if self._whole else {}
        if self._rank == 0 and compared:
            evaluation, samples = compared
            kept = self._best.kept if self._best else None
            trained = _trained(trainer.state, telling, evaluation, kept)
            self._result.put_together(trainer, trained, samples, saved=saved, weights=weights)
            if unmet := gate.unmet(self._run, evaluation):
                raise errors.GateNotMet(
                    f"nothing is published, because spec.evaluation.gate is not met: {'; '.join(unmet)}"
                )
        trainer.end()  # else one of twenty gangs aborts at exit
        return cast("Trainer", trainer)

    def _begin(self, trainer: Any) -> None:
        """What is tried and measured before the first step, with the model as it will be trained."""
        train.pack(trainer, self._run, self._arithmetic, self._task)
        self._arithmetic = replace(self._arithmetic, attention=row_attention.attention(trainer.model))
        if self._rank == 0:
            told = sharding.told(self._run)
            print(f"{self._arithmetic.told}{f'; {told}' if told else ''}", flush=True)  # noqa: T201 - the pod's log
        if self._comparing:
            with self._base_in_place(trainer):
                self._comparing.before(trainer)
        if self._sharded:
            shards.put_away(trainer.model)

    def _base_in_place(self, trainer: Any) -> AbstractContextManager[None]:
        """The base in the model's place, where a checkpoint has taken it and still it must be asked something new."""
        if not self._sharded or not self._task.resume or comparing.kept(self._task, self._asking):
            return nullcontext()
        base = self._load().state_dict() if self._rank == 0 else {}
        return shards.replaced(trainer.model, base)

    def _weights(self, trainer: Any) -> Mapping[str, torch.Tensor]:
        """All weights by name: on rank 0, where they are sharded."""
        weights: Mapping[str, torch.Tensor] = (
            shards.gathered(trainer.model) if self._sharded else trainer.model.state_dict()
        )
        return weights

    @functools.cached_property
    def _arithmetic(self) -> accelerator.Arithmetic:
        """How this machine computes the run."""
        return accelerator.arithmetic(self._run, accelerator.machine())

    @functools.cached_property
    def _dtype(self) -> torch.dtype | None:
        """What weights are published as; None: an adapter as it was learned."""
        return rounding.DTYPES.get(self._run.output.dtype, self._whole)

    @functools.cached_property
    def _whole(self) -> torch.dtype | None:
        """What whole weights are published as; None where an adapter is."""
        if self._run.tuning.type != "Full":
            return None
        return rounding.DTYPES.get(self._run.output.dtype) or whole.own_dtype(self._task.model)

    def _trainer(self) -> Any:
        return train.make_trainer(
            self._run,
            self._prepared.resolved,
            self._arithmetic,
            task=self._task,
            load=self._load,
            tokenizer=model.load_tokenizer(
                self._task.model, self._run.model, self._prepared.identity.tokenizer
            ),
            revision=self._hub_revision,
        )

    def _load(self) -> Any:
        """The base model."""
        name = self._prepared.identity.model.id
        return model.load_model(self._task.model, self._run, self._arithmetic, name=name)

    @property
    def _hub_revision(self) -> str | None:
        """PEFT's `revision` is one of the Hub; a digest would be looked for there."""
        return self._prepared.identity.model.revision if self._run.model.uri.startswith("hf://") else None

    @functools.cached_property
    def _best(self) -> Best | None:
        """The weights to publish, if not the last; rank 0 alone measures and publishes."""
        wanted = self._run.evaluation.keep_best and self._rank == 0
        return Best(self._task.work, self._task.resume) if wanted else None

    def _measured(self, trainer: Any) -> float | None:
        """Held-out loss between the steps; None where SIGTERM came first."""
        loss = self._comparing.loss_between(trainer) if self._comparing else None
        if self._best and loss is not None:
            self._best.see(trainer.model, step=trainer.state.global_step, loss=loss)
        return loss

    def _return_to_best(self, trainer: Any, best: Best) -> None:
        """Measure the last step like those before it, and take the weights of the best one."""
        step = trainer.state.global_step
        measured = {entry["step"] for entry in trainer.state.log_history if "eval_loss" in entry}
        if step not in measured:
            self._tell(stage="Evaluate", message=f"evaluating step {step}")
            if isinstance(self._comparing, Comparing) and (loss := self._comparing.loss(trainer)) is not None:
                best.see(trainer.model, step=step, loss=loss)
        if kept := best.kept:
            best.restore(trainer.model)
            told = f"step {kept.step} has the lowest held-out loss, {kept.loss:.4f}, and is kept"
            self._tell(message=told)
            print(told, flush=True)  # noqa: T201 - the pod's log

    @functools.cached_property
    def _asking(self) -> Asking:
        """What base and tuned model are asked."""
        move = self._move_together if self._sharded else self._move
        return Asking(self._run, self._prepared, self._task, move=move)

    @functools.cached_property
    def _comparing(self) -> Comparing | Following | None:
        """This rank's part in the evaluation; None where it has none."""
        if self._rank == 0:
            return Comparing(
                self._run, self._prepared, self._task, self._asking, tell=self._tell, move=self._move
            )
        if self._sharded:
            known = comparing.kept(self._task, self._asking) is not None
            return Following(self._asking, base_known=known)
        return None

    @property
    def _result(self) -> Result:
        """What is published, beside the weights."""
        return Result(
            run=self._run, ready=self._prepared, task=self._task, arithmetic=self._arithmetic, world=self._world,
            whole_dtype=self._whole, dtype=self._dtype, revision=self._hub_revision, tell=self._tell,
        )  # fmt: skip

    def _tell(self, **changes: Any) -> None:
        if self._writer:
            self._writer.tell(**changes)

    def _move(self, message: str) -> None:
        self._interruption.check()
        self._tell(**({"message": message} if message else {}))

    def _move_together(self, message: str) -> None:
        """A forward pass over sharded weights is one of all ranks: so is the decision to make no more of them."""
        (noted,) = callbacks.any_rank((self._interruption.noted,), torch.device(self._arithmetic.device))
        if noted:
            raise errors.Interrupted("stopped from outside (SIGTERM); nothing that was saved is lost")
        self._tell(**({"message": message} if message else {}))


def _trained(state: Any, telling: Telling, evaluation: Evaluated | None, kept: Kept | None) -> Trained:
    """What training came to, by transformers' own state and what was told last."""
    return Trained(
        step=state.global_step,
        total_steps=state.max_steps,
        epoch=float(state.epoch or 0.0),
        loss=telling.loss if telling.loss is not None else _last_loss(state.log_history),
        tokens_per_second=telling.tokens_per_second,
        evaluation=evaluation,
        kept_step=kept.step if kept else None,
    )


def _last_loss(history: list[dict[str, Any]]) -> float | None:
    return next((float(entry["loss"]) for entry in reversed(history) if "loss" in entry), None)

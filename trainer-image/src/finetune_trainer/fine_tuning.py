"""What a rank does, in order: load, evaluate the base, train, evaluate, put the result together. Imports torch."""

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import Trainer

from finetune_trainer import (
    accelerator,
    card,
    config,
    environment,
    errors,
    gate,
    history,
    meeting,
    merged,
    model,
    prepared,
    publish,
    report,
    rounding,
    row_attention,
    start_adapter,
    tables,
    train,
    whole,
)
from finetune_trainer.best import Best, Kept
from finetune_trainer.callbacks import Telling
from finetune_trainer.comparing import BASE, Comparing
from finetune_trainer.data import data_report
from finetune_trainer.interruption import Interruption
from finetune_trainer.prepared import Prepared
from finetune_trainer.task import Evaluated, Task, Trained

PROBE_TOKENS = 64
"""Length of the row that the saved adapter is tried on."""


class FineTuning:
    """One run on one rank. Rank 0 evaluates and puts the result together, the others only train."""

    def __init__(self, task: Task, interruption: Interruption, *, rank: int, world: int) -> None:
        self._task = task
        self._interruption = interruption
        self._rank = rank
        self._world = world
        self._run = start_adapter.applied(config.load(task.run), task.dataset)
        ready = Prepared.model_validate_json((task.dataset / prepared.DOCUMENT).read_bytes())
        self._prepared = ready.at(task.micro_batch_size)
        self._writer = report.ProgressWriter(task.progress, attempt=task.attempt) if rank == 0 else None

    def go(self) -> Trainer:
        """All stages. Raises our errors, `Interrupted` among them; a return means that everything is done, with the trainer."""
        self._tell(stage="Load", total_steps=self._prepared.resolved.total_steps, message="loading the model")
        meeting.meet(self._run.resources, rank=self._rank, world=self._world)
        trainer = self._trainer(self._arithmetic)
        train.assert_promised(trainer, self._run, rank=self._rank, world=self._world)
        self._arithmetic = replace(self._arithmetic, attention=row_attention.attention(trainer.model))
        if self._rank == 0:
            print(self._arithmetic.told, flush=True)  # noqa: T201 - the pod's log
            self._comparing.before(trainer)
        telling = train.fit(
            trainer, self._run, task=self._task, interruption=self._interruption, tell=self._tell,
            measure=lambda: self._measured(trainer), tokens_per_epoch=self._prepared.tokens,
            beside=(self._task.work / BASE, *(self._best.files if self._best else ())),
        )  # fmt: skip
        if self._best:
            self._return_to_best(trainer, self._best)
        saved = self._task.work / "saved"
        if self._dtype:
            rounding.round_to(trainer.model, self._dtype)
        if not self._whole:
            trainer.save_model(str(saved))
        if self._rank == 0:
            evaluation, samples = self._comparing.compare(trainer)
            kept = self._best.kept if self._best else None
            trained = _trained(trainer.state, telling, evaluation, kept)
            self._put_together(trainer, trained, samples, saved)
            if unmet := gate.unmet(self._run, evaluation):
                raise errors.GateNotMet(
                    f"nothing is published, because the gate (spec.evaluation.gate) does not hold: {'; '.join(unmet)}"
                )
        trainer.end()  # else one of twenty gangs aborts at exit
        return cast("Trainer", trainer)

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

    def _trainer(self, arithmetic: accelerator.Arithmetic) -> Any:
        facts, spec = self._prepared.identity, self._run.model
        return train.make_trainer(
            self._run,
            self._prepared.resolved,
            arithmetic,
            task=self._task,
            load=lambda: model.load_model(self._task.model, self._run, arithmetic, name=facts.model.id),
            tokenizer=model.load_tokenizer(self._task.model, spec, facts.tokenizer),
            revision=self._hub_revision,
        )

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
        loss = self._comparing.loss_between(trainer)
        if self._best and loss is not None:
            self._best.see(trainer.model, step=trainer.state.global_step, loss=loss)
        return loss

    def _return_to_best(self, trainer: Any, best: Best) -> None:
        """Measure the last step like those before it, and take the weights of the best one."""
        step = trainer.state.global_step
        measured = {entry["step"] for entry in trainer.state.log_history if "eval_loss" in entry}
        if step not in measured:
            self._tell(stage="Evaluate", message=f"evaluating step {step}")
            if (loss := self._comparing.loss(trainer)) is not None:
                best.see(trainer.model, step=step, loss=loss)
        if kept := best.kept:
            best.restore(trainer.model)
            told = f"step {kept.step} has the lowest held-out loss, {kept.loss:.4f}, and is kept"
            self._tell(message=told)
            print(told, flush=True)  # noqa: T201 - the pod's log

    @functools.cached_property
    def _comparing(self) -> Comparing:
        """What base and tuned model are asked."""
        return Comparing(
            self._run, self._prepared, self._task,
            tell=self._tell, move=self._move,
        )  # fmt: skip

    def _put_together(
        self, trainer: Any, trained: Trained, samples: list[dict[str, Any]], saved: Path
    ) -> None:
        """The checked files of the result, and what it came to for the supervisor."""
        task, facts = self._task, self._prepared.identity
        self._tell(stage="Publish", message="putting the result together")
        log = trainer.state.log_history
        if self._whole:
            whole.save(trainer.model, saved, self._whole)
        elif self._dtype:
            rounding.rewrite(saved / start_adapter.WEIGHTS, self._dtype)
        publish.check_finite(saved)
        publish.collect(
            task.artefact,
            saved=saved,
            base=task.model,
            tokenizer=trainer.processing_class,
            texts={
                "samples.json": publish.document(samples),
                "metrics.json": publish.document({**trained.wire(), "history": log}),
                "metrics.jsonl": history.jsonl(log),
                "metrics.csv": history.table(log),
                **card.render(self._facts(trained, samples, log)),
                **{name: (task.dataset / name).read_text(encoding="utf-8") for name in self._prepared.report},
            },
        )
        if self._whole:
            whole.check_reloads(trainer.model, task.artefact, self._whole)
        else:
            publish.check_base_named(task.artefact / start_adapter.CONFIG, facts.model.id)
            probe = tables.first_sequence(task.dataset / prepared.TRAIN, self._run)[:PROBE_TOKENS]
            publish.check_reloads(trainer.model, task.artefact, probe)
            if self._run.output.merged:
                merged.add(task.artefact, base=task.model, name=facts.model.id, probe=probe, tell=self._tell)
        publish.check_no_paths(task.artefact, (task.work, task.model, task.dataset, task.run))
        task.trained.write_text(json.dumps(trained.wire()), encoding="utf-8")

    def _facts(
        self, trained: Trained, samples: list[dict[str, Any]], log: list[dict[str, Any]]
    ) -> card.Facts:
        ready, base, job = self._prepared, self._prepared.identity.model, self._run.job
        return card.Facts(
            run=self._run,
            base_model=ready.identity.model.id,
            revision=self._hub_revision,
            data={
                "digest": ready.digest, "format": ", ".join(dict.fromkeys(ready.identity.formats)),
                "rows": ready.rows, "evalRows": ready.eval_rows, "tokens": ready.tokens,
            },
            resolved=ready.resolved.wire(),
            trained=trained,
            samples=samples,
            history=log,
            data_report=self._data_report,
            environment={
                **environment.described(), "arithmetic": self._arithmetic.told, "processes": str(self._world)
            },
            provenance={
                "job": f"{job.namespace}/{job.name} ({job.uid})", "image": self._run.image, "base model": base.uri,
                "revision": base.revision, "prepared data": ready.digest, "seed": str(self._run.training.seed),
                **self._scorer_told,
            },
            created=report.utc_now().strftime("%Y-%m-%d %H:%M UTC"),
        )  # fmt: skip

    @property
    def _scorer_told(self) -> dict[str, str]:
        """What judged the answers: its figures are those of one model and layer only."""
        said, facts = self._run.evaluation.bert_score, self._prepared.scorer
        if not said or not facts:
            return {}
        layer = f"layer {said.layer}" if said.layer else "its last layer"
        return {"scoring model": f"{facts.uri}, {facts.revision}, {layer}"}

    @property
    def _data_report(self) -> dict[str, Any] | None:
        """data-report.json; None where Prepare left none."""
        if data_report.JSON not in self._prepared.report:
            return None
        read: dict[str, Any] = json.loads((self._task.dataset / data_report.JSON).read_text(encoding="utf-8"))
        return read

    def _tell(self, **changes: Any) -> None:
        if self._writer:
            self._writer.tell(**changes)

    def _move(self, message: str) -> None:
        self._interruption.check()
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

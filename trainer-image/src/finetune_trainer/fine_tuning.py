"""What a rank does, in order: load, evaluate the base, train, evaluate, put the result together. Imports torch."""

import functools
import json
from pathlib import Path
from typing import Any

import torch

from finetune_trainer import (
    accelerator,
    arguments,
    card,
    config,
    errors,
    evaluate,
    heldout,
    model,
    prepared,
    publish,
    report,
    tables,
    train,
    whole,
)
from finetune_trainer.interruption import Interruption
from finetune_trainer.prepared import Prepared
from finetune_trainer.task import Evaluated, Measured, Task, Trained

BASE = "base.json"
"""What the base model was measured at: kept with every checkpoint, so that a resumed run need not ask it again."""

PROBE_TOKENS = 64
"""Length of the row that the saved adapter is tried on."""


class Base(config.Value):
    """base.json."""

    measured: Measured | None
    """None where nothing is held out."""
    answers: tuple[str, ...]
    """To the samples, in their order."""
    log_probs: tuple[float, ...] = ()
    """Of the held-out sequences (nats, in the order they are asked in): the reference of DPO and KTO."""


class FineTuning:
    """One run on one rank. Rank 0 evaluates and puts the result together, the others only train."""

    def __init__(self, task: Task, interruption: Interruption, *, rank: int, world: int) -> None:
        self._task = task
        self._interruption = interruption
        self._rank = rank
        self._world = world
        self._run = config.load(task.run)
        self._prepared = Prepared.model_validate_json((task.dataset / prepared.DOCUMENT).read_bytes())
        self._samples: list[dict[str, Any]] = json.loads(
            (task.dataset / prepared.SAMPLES).read_text(encoding="utf-8")
        )
        self._writer = report.ProgressWriter(task.progress, attempt=task.attempt) if rank == 0 else None

    def go(self) -> None:
        """All stages. Raises our errors, `Interrupted` among them; a return means that everything is done."""
        self._tell(stage="Load", total_steps=self._prepared.resolved.total_steps, message="loading the model")
        arithmetic = accelerator.arithmetic(self._run, accelerator.machine())
        trainer = self._trainer(arithmetic)
        train.assert_promised(trainer, self._run, self._world)
        if self._rank == 0:
            print(arithmetic.told, flush=True)  # noqa: T201 - the pod's log
            self._measure_base(trainer)
        telling = train.fit(
            trainer, self._run, task=self._task, interruption=self._interruption, tell=self._tell,
            measure=lambda: self._measured_between(trainer), tokens_per_epoch=self._prepared.tokens,
            beside=(self._task.work / BASE,),
        )  # fmt: skip
        saved = self._task.work / "saved"
        if self._whole:
            whole.round_to(trainer.model, self._whole)
        else:
            trainer.save_model(str(saved))
        if self._rank == 0:
            trained = self._evaluated(trainer, telling.loss, telling.tokens_per_second)
            self._put_together(trainer, trained, saved)
        trainer.end()  # else one of twenty gangs aborts at exit

    @functools.cached_property
    def _whole(self) -> torch.dtype | None:
        """What whole weights are published as; None where an adapter is."""
        return whole.own_dtype(self._task.model) if self._run.tuning.type == "Full" else None

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

    def _measure_base(self, trainer: Any) -> None:
        """Loss and answers of the base, written to `base.json`; taken from the checkpoint where that has them."""
        file = self._task.work / BASE
        kept = self._task.resume / BASE if self._task.resume else None
        if kept and kept.is_file():
            file.write_bytes(kept.read_bytes())
        else:
            self._tell(stage="EvaluateBase", message="evaluating the base model")
            with evaluate.without_adapter(trainer.model):
                said = self._asked(trainer)
                base = Base(
                    measured=self._rows.judged(said, None) if said else None,
                    answers=tuple(self._answers(trainer)),
                    log_probs=tuple(said),
                )
            file.write_text(base.model_dump_json(by_alias=True), encoding="utf-8")
        if measured := _base(file).measured:
            self._tell(
                eval_loss=measured.loss, message=f"held-out loss of the base model {measured.loss:.4f}"
            )
            print(f"base model: held-out loss {measured.loss:.4f}", flush=True)  # noqa: T201 - the pod's log

    def _evaluated(self, trainer: Any, loss: float | None, speed: float | None) -> Trained:
        """The tuned model, measured as the base was; its answers are added to the samples."""
        self._tell(stage="Evaluate", eta_seconds=None, message="evaluating the tuned model")
        tuned, answers = self._tuned(trainer), self._answers(trainer)
        base = _base(self._task.work / BASE)
        self._samples = [
            {**_shown(sample), "base": before, "tuned": after}
            for sample, before, after in zip(self._samples, base.answers, answers, strict=True)
        ]
        evaluation = None
        if base.measured and tuned:
            evaluation = Evaluated(rows=self._prepared.eval_rows, base=base.measured, tuned=tuned)
            change = f"held-out loss {base.measured.loss:.4f} -> {tuned.loss:.4f}"
            self._tell(eval_loss=tuned.loss, message=change)
            told = ", ".join([change, *(f"{name} {value:.4f}" for name, value in tuned.other.items())])
            print(told, flush=True)  # noqa: T201 - see above
        state = trainer.state
        return Trained(
            step=state.global_step, total_steps=state.max_steps, epoch=float(state.epoch or 0.0),
            loss=loss if loss is not None else _last_loss(state.log_history),
            tokens_per_second=speed, evaluation=evaluation,
        )  # fmt: skip

    def _measured_between(self, trainer: Any) -> float | None:
        """Held-out loss in the middle of training; None where nothing is held out, or SIGTERM came first."""
        try:
            measured = self._tuned(trainer)
        except errors.Interrupted:
            return None
        if measured is None:
            return None
        self._tell(eval_loss=measured.loss)
        return measured.loss

    def _tuned(self, trainer: Any) -> Measured | None:
        """The model as it is now, on the held-out rows; None where there are none."""
        said = self._asked(trainer)
        return self._rows.judged(said, _base(self._task.work / BASE).log_probs) if said else None

    def _answers(self, trainer: Any) -> list[str]:
        """The answers to the samples."""
        prompts = [list(sample["inputIds"]) for sample in self._samples]
        with trainer.compute_loss_context_manager():
            return self._answering(trainer).answers(trainer.model, prompts)

    def _asked(self, trainer: Any) -> list[float]:
        """How likely the model finds the held-out rows; empty where there are none."""
        if not self._prepared.eval_rows:
            return []
        with trainer.compute_loss_context_manager():
            return evaluate.log_probs(
                trainer.model, self._rows.sequences,
                batch_size=self._prepared.resolved.micro_batch_size, move=self._move,
            )  # fmt: skip

    @functools.cached_property
    def _rows(self) -> heldout.HeldOut:
        """The held-out rows, read once."""
        run, said = self._run, self._run.training.dpo
        return heldout.held_out(
            run.method,
            tables.rows(self._task.dataset / prepared.EVAL, run).to_dict(),
            beta=arguments.beta(run),
            loss_type=said.loss_type[0] if said and said.loss_type else None,
            max_length=self._prepared.resolved.max_length,
        )

    def _answering(self, trainer: Any) -> evaluate.Answering:
        return evaluate.Answering(
            tokenizer=trainer.processing_class,
            facts=self._prepared.identity.tokenizer,
            max_new_tokens=self._run.evaluation.max_new_tokens,
            move=self._move,
        )

    def _put_together(self, trainer: Any, trained: Trained, saved: Path) -> None:
        """The checked files of the result, and what it came to for the supervisor."""
        task, facts = self._task, self._prepared.identity
        self._tell(stage="Publish", message="putting the result together")
        history = trainer.state.log_history
        if self._whole:
            whole.save(trainer.model, saved, self._whole)
        publish.check_finite(saved)
        publish.collect(
            task.artefact,
            saved=saved,
            base=task.model,
            tokenizer=trainer.processing_class,
            texts={
                "samples.json": publish.document(self._samples),
                "metrics.json": publish.document({**trained.wire(), "history": history}),
                **card.render(self._facts(trained, history)),
                **{name: (task.dataset / name).read_text(encoding="utf-8") for name in self._prepared.report},
            },
        )
        if self._whole:
            whole.check_reloads(trainer.model, task.artefact, self._whole)
        else:
            publish.check_base_named(task.artefact / publish.CONFIG, facts.model.id)
            probe = tables.first_sequence(task.dataset / prepared.TRAIN, self._run)[:PROBE_TOKENS]
            publish.check_reloads(trainer.model, task.artefact, probe)
        publish.check_no_paths(task.artefact, (task.work, task.model, task.dataset, task.run))
        task.trained.write_text(json.dumps(trained.wire()), encoding="utf-8")

    def _facts(self, trained: Trained, history: list[dict[str, Any]]) -> card.Facts:
        ready = self._prepared
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
            samples=self._samples,
            history=history,
            created=report.utc_now().strftime("%Y-%m-%d %H:%M UTC"),
        )  # fmt: skip

    def _tell(self, **changes: Any) -> None:
        if self._writer:
            self._writer.tell(**changes)

    def _move(self, message: str) -> None:
        self._interruption.check()
        self._tell(message=message)


def _shown(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample as it is published: what a person reads."""
    return {
        "source": sample["source"],
        "messages": sample["messages"],
        "expected": sample.get("expected"),
    }


def _base(file: Path) -> Base:
    """What `base.json` holds."""
    return Base.model_validate_json(file.read_bytes())


def _last_loss(history: list[dict[str, Any]]) -> float | None:
    return next((float(entry["loss"]) for entry in reversed(history) if "loss" in entry), None)

"""Base against tuned: both are asked the same, on the same rows, by the same code. Rank 0 alone does this."""

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from finetune_trainer import (
    arguments,
    bertscore,
    config,
    errors,
    evaluate,
    heldout,
    metrics,
    prepared,
    scoring,
    start_adapter,
    tables,
)
from finetune_trainer.prepared import Prepared
from finetune_trainer.task import Evaluated, Measured, Task

BASE = "base.json"
"""What the base model was measured at: kept with every checkpoint, so that a resumed run need not ask it again."""


class Base(config.Value):
    """base.json."""

    measured: Measured | None
    """None where nothing is held out."""
    answers: tuple[str, ...]
    """To the samples, in their order."""
    start: Measured | None = None
    """The base with the adapter that training goes on from; None where it starts from a new one."""
    log_probs: tuple[float, ...] = ()
    """Of the held-out sequences (nats, in the order they are asked in), by the reference of DPO and KTO: by the base, or with
    the adapter that training goes on from."""
    asked: str = ""
    """Digest of samples, metrics and the length of answers: a job that goes on from another's checkpoint may ask others."""


class Comparing:
    """The evaluation of one run. `tell` writes fields of the progress document, `move` hears SIGTERM as well."""

    def __init__(
        self,
        run: config.Run,
        ready: Prepared,
        task: Task,
        *,
        tell: Callable[..., object],
        move: evaluate.Move,
    ) -> None:
        self._run = run
        self._prepared = ready
        self._task = task
        self._tell = tell
        self._move = move
        self._samples: list[dict[str, Any]] = json.loads(
            (task.dataset / prepared.SAMPLES).read_text(encoding="utf-8")
        )

    def before(self, trainer: Any) -> None:
        """Measure the base now where training changes it; else whenever it is asked for: the first step need not wait.

        Raises `UnsupportedModelFiles` where the model that judges answers cannot be loaded: better now than after training.
        """
        if self._task.scorer:
            bertscore.load(self._task.scorer)
        started = start_adapter.folder(self._run, self._task.dataset)
        if (self._run.tuning.type == "Full" or started) and (measured := self._base(trainer).measured):
            self._tell(eval_loss=measured.loss)

    def _measure_base(self, trainer: Any) -> None:
        """Loss and answers of the base, written to `base.json`; taken from the checkpoint where that has them."""
        file = self._task.work / BASE
        kept = self._task.resume / BASE if self._task.resume else None
        if kept and kept.is_file() and Base.model_validate_json(kept.read_bytes()).asked == self._asked_for:
            file.write_bytes(kept.read_bytes())
        else:
            self._tell(stage="EvaluateBase", message="evaluating the base model")
            file.write_text(self._asked_first(trainer).model_dump_json(by_alias=True), encoding="utf-8")
        if measured := _read(file).measured:
            self._tell(message=f"held-out loss of the base model {measured.loss:.4f}")
            print(f"base model: held-out loss {measured.loss:.4f}", flush=True)  # noqa: T201 - the pod's log

    def _asked_first(self, trainer: Any) -> Base:
        """What the base says, and, where training goes on from an adapter, the model with it: the reference then."""
        start = None
        if start_adapter.folder(self._run, self._task.dataset):
            start = self._asked(trainer)
        with evaluate.without_adapter(trainer.model):
            said, answers = self._asked(trainer), self._answers(trainer)
        reference = start or said
        return Base(
            measured=self._measured(said, start.log_probs if start else None, answers) if said else None,
            answers=tuple(answers),
            start=self._rows.judged(start.log_probs, None) if start else None,
            log_probs=tuple(reference.log_probs) if reference else (),
            asked=self._asked_for,
        )

    @property
    def _asked_for(self) -> str:
        """Digest of what the models are asked, and what is made of it."""
        said = self._run.evaluation
        asked: list[Any] = [
            said.max_new_tokens, list(said.metrics), [sample["inputIds"] for sample in self._samples]
        ]  # fmt: skip
        if said.bert_score and self._prepared.scorer:
            asked += [self._prepared.scorer.revision, said.bert_score.wire()]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    def loss_between(self, trainer: Any) -> float | None:
        """Held-out loss in the middle of training; None where nothing is held out, or SIGTERM came first."""
        try:
            return self.loss(trainer)
        except errors.Interrupted:
            return None

    def loss(self, trainer: Any) -> float | None:
        """Held-out loss of the model as it is now; None where nothing is held out. Raises `Interrupted`."""
        said = self._asked(trainer)
        if said is None:
            return None
        loss = self._rows.judged(said.log_probs, self._base(trainer).log_probs).loss
        self._tell(eval_loss=loss)
        return loss

    def compare(self, trainer: Any) -> tuple[Evaluated | None, list[dict[str, Any]]]:
        """The tuned model, measured as the base was, and the samples with both answers.

        None where nothing is held out.
        """
        base = self._base(trainer)
        self._tell(stage="Evaluate", eta_seconds=None, message="evaluating the tuned model")
        said, answers = self._asked(trainer), self._answers(trainer)
        tuned = self._measured(said, base.log_probs, answers) if said else None
        samples = [
            {**_shown(sample), "base": before, "tuned": after}
            for sample, before, after in zip(self._samples, base.answers, answers, strict=True)
        ]
        if not base.measured or not tuned:
            return None, samples
        before = " -> ".join(f"{one.loss:.4f}" for one in (base.measured, base.start) if one)
        change = f"held-out loss {before} -> {tuned.loss:.4f}"
        self._tell(eval_loss=tuned.loss, message=change)
        told = ", ".join([change, *(f"{name} {value:.4f}" for name, value in tuned.other.items())])
        print(told, flush=True)  # noqa: T201 - see above
        answered = len(self._pairs(answers)) if metrics.generates(self._run.evaluation.metrics) else None
        found = Evaluated(
            rows=self._prepared.eval_rows,
            answered=answered,
            base=base.measured,
            start=base.start,
            tuned=tuned,
        )
        return found, samples

    def _base(self, trainer: Any) -> Base:
        """What the base said, once."""
        file = self._task.work / BASE
        if not file.exists():
            self._measure_base(trainer)
        return _read(file)

    def _measured(
        self, said: evaluate.Said, reference: Sequence[float] | None, answers: Sequence[str]
    ) -> Measured:
        """All figures of one model. `reference`: what the base said; None where it is the base."""
        found, asked = self._rows.judged(said.log_probs, reference), self._run.evaluation.metrics
        more = {"tokenAccuracy": self._rows.token_accuracy(said.right)} if "tokenAccuracy" in asked else {}
        more |= scoring.scores(self._pairs(answers), asked, self._move, self._by_models)
        return found.model_copy(update={"other": {**found.other, **more}})

    @property
    def _by_models(self) -> dict[str, scoring.Score]:
        """Metrics for which a second model is loaded."""
        said, folder = self._run.evaluation.bert_score, self._task.scorer
        if not said or not folder:
            return {}
        return {"bertscore": lambda pairs, move: bertscore.scores(pairs, folder, said.layer, move)}

    def _pairs(self, answers: Sequence[str]) -> list[scoring.Pair]:
        """The answers to held-out rows, each with the row's own."""
        return [
            (answer, sample["expected"])
            for sample, answer in zip(self._samples, answers, strict=True)
            if sample.get("expected") is not None
        ]

    def _answers(self, trainer: Any) -> list[str]:
        """The answers to the samples."""
        prompts = [list(sample["inputIds"]) for sample in self._samples]
        answering = evaluate.Answering(
            tokenizer=trainer.processing_class,
            facts=self._prepared.identity.tokenizer,
            max_new_tokens=self._run.evaluation.max_new_tokens,
            batch_size=self._prepared.resolved.micro_batch_size,
            move=self._move,
        )
        with trainer.compute_loss_context_manager():
            return answering.answers(trainer.model, prompts)

    def _asked(self, trainer: Any) -> evaluate.Said | None:
        """What the model as it is now says of the held-out rows; None where there are none."""
        if not self._prepared.eval_rows:
            return None
        with trainer.compute_loss_context_manager():
            return evaluate.said_of(
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


def _read(file: Path) -> Base:
    """What `base.json` holds."""
    return Base.model_validate_json(file.read_bytes())


def _shown(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample as it is published: what a person reads."""
    return {
        "source": sample["source"],
        "messages": sample["messages"],
        "expected": sample.get("expected"),
    }

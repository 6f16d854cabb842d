"""Base against tuned: both are asked the same, on the same rows, by the same code. Rank 0 alone does this."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune_trainer import (
    bertscore,
    config,
    evaluate,
    metrics,
    scoring,
    start_adapter,
)
from finetune_trainer.asking import Asking
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


def kept(task: Task, asking: Asking) -> Path | None:
    """`base.json` of the checkpoint that is gone on from, where the same was asked; None: the base must be asked."""
    file = task.resume / BASE if task.resume else None
    return file if file and file.is_file() and _read(file).asked == asking.digest else None


class Comparing:
    """The evaluation of one run. `tell` writes fields of the progress document, `move` hears SIGTERM as well."""

    def __init__(
        self,
        run: config.Run,
        ready: Prepared,
        task: Task,
        asking: Asking,
        *,
        tell: Callable[..., object],
        move: evaluate.Move,
    ) -> None:
        self._run = run
        self._prepared = ready
        self._task = task
        self._asking = asking
        self._tell = tell
        self._move = move

    def before(self, trainer: Any) -> None:
        """Measure the base now where training changes it; else whenever it is asked for: the first step need not wait.

        Raises `UnsupportedModelFiles` where the model that judges answers cannot be loaded: better now than after training.
        """
        if self._task.scorer:
            bertscore.load(self._task.scorer)
        if tasks := self._run.evaluation.tasks:
            _harness().load(tasks, self._task.dataset)
        started = start_adapter.folder(self._run, self._task.dataset)
        if (self._run.tuning.type == "Full" or started) and (measured := self._base(trainer).measured):
            self._tell(eval_loss=measured.loss)

    def _measure_base(self, trainer: Any) -> None:
        """Loss and answers of the base, written to `base.json`; taken from the checkpoint where that has them."""
        file = self._task.work / BASE
        if before := kept(self._task, self._asking):
            file.write_bytes(before.read_bytes())
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
            start = self._asking.said(trainer)
        with evaluate.without_adapter(trainer.model):
            said, answers = self._asking.said(trainer), self._asking.answers(trainer)
            tasks = self._task_scores(trainer)
        reference = start or said
        return Base(
            measured=self._measured(said, start.log_probs if start else None, answers, tasks)
            if said
            else None,
            answers=tuple(answers),
            start=self._asking.rows.judged(start.log_probs, None) if start else None,
            log_probs=tuple(reference.log_probs) if reference else (),
            asked=self._asking.digest,
        )

    def loss_between(self, trainer: Any) -> float | None:
        """Held-out loss in the middle of training; None where nothing is held out, or SIGTERM came first."""
        with evaluate.until_interrupted():
            return self.loss(trainer)
        return None

    def loss(self, trainer: Any) -> float | None:
        """Held-out loss of the model as it is now; None where nothing is held out. Raises `Interrupted`."""
        said = self._asking.said(trainer)
        if said is None:
            return None
        loss = self._asking.rows.judged(said.log_probs, self._base(trainer).log_probs).loss
        self._tell(eval_loss=loss)
        return loss

    def compare(self, trainer: Any) -> tuple[Evaluated | None, list[dict[str, Any]]]:
        """The tuned model, measured as the base was, and the samples with both answers.

        None where nothing is held out.
        """
        base = self._base(trainer)
        self._tell(stage="Evaluate", eta_seconds=None, message="evaluating the tuned model")
        said, answers = self._asking.said(trainer), self._asking.answers(trainer)
        tuned = self._measured(said, base.log_probs, answers, self._task_scores(trainer)) if said else None
        samples = [
            {**_shown(sample), "base": before, "tuned": after}
            for sample, before, after in zip(self._asking.samples, base.answers, answers, strict=True)
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
        self,
        said: evaluate.Said,
        reference: Sequence[float] | None,
        answers: Sequence[str],
        tasks: Mapping[str, float],
    ) -> Measured:
        """All figures of one model, those of `tasks` among them. `reference`: what the base said; None where it is the base."""
        rows, asked = self._asking.rows, self._run.evaluation.metrics
        found = rows.judged(said.log_probs, reference)
        more = {"tokenAccuracy": rows.token_accuracy(said.right)} if "tokenAccuracy" in asked else {}
        more |= scoring.scores(self._pairs(answers), asked, self._move, self._by_models)
        return found.model_copy(update={"other": {**found.other, **more, **tasks}})

    def _task_scores(self, trainer: Any) -> dict[str, float]:
        """The figures of lm-eval's tasks; none where no task is asked for."""
        tasks = self._run.evaluation.tasks
        if not tasks:
            return {}
        harness, longest = _harness(), self._prepared.resolved.max_length
        asking = harness.Asking(answering=self._asking.answering(trainer), max_length=longest)
        with trainer.compute_loss_context_manager():
            found: dict[str, float] = harness.scores(tasks, self._task.dataset, trainer.model, asking)
        return found

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
            for sample, answer in zip(self._asking.samples, answers, strict=True)
            if sample.get("expected") is not None
        ]


def _harness() -> Any:
    """lm-eval, an extra: Prepare has refused tasks where it is not installed."""
    from finetune_trainer import harness  # noqa: PLC0415 - see above

    return harness


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

"""What models are asked: the held-out rows, and the samples. The same for base and tuned."""

import functools
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from finetune_trainer import arguments, config, evaluate, heldout, prepared, sharding, shards, tables
from finetune_trainer.prepared import Prepared
from finetune_trainer.task import Task


class Asking:
    """The questions of one run. `move` is called for every forward pass; it raises `Interrupted` where the pod was told to end."""

    def __init__(self, run: config.Run, ready: Prepared, task: Task, *, move: evaluate.Move) -> None:
        self._run = run
        self._prepared = ready
        self._task = task
        self._move = move
        self._sharded = sharding.sharded(run)
        self.samples: list[dict[str, Any]] = json.loads(
            (task.dataset / prepared.SAMPLES).read_text(encoding="utf-8")
        )

    @property
    def digest(self) -> str:
        """Of what the models are asked, and what is made of it."""
        said = self._run.evaluation
        asked: list[Any] = [
            said.max_new_tokens, list(said.metrics), [sample["inputIds"] for sample in self.samples]
        ]  # fmt: skip
        if said.bert_score and self._prepared.scorer:
            asked += [self._prepared.scorer.revision, said.bert_score.wire()]
        for task in said.tasks or ():
            asked += [task.wire(), self._prepared.tasks[task.name].file.sha256]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    def said(self, trainer: Any) -> evaluate.Said | None:
        """What the model as it is now says of the held-out rows; None where there are none."""
        if not self._prepared.eval_rows:
            return None
        with self._passing(trainer):
            return evaluate.said_of(
                trainer.model, self.rows.sequences,
                batch_size=self._prepared.resolved.micro_batch_size, move=self._move,
            )  # fmt: skip

    def answers(self, trainer: Any) -> list[str]:
        """The answers to the samples."""
        prompts = [list(sample["inputIds"]) for sample in self.samples]
        with self._passing(trainer):
            return self.answering(trainer).answers(trainer.model, prompts)

    def answering(self, trainer: Any) -> evaluate.Answering:
        """How prompts are answered."""
        return evaluate.Answering(
            tokenizer=trainer.processing_class,
            facts=self._prepared.identity.tokenizer,
            max_new_tokens=self._run.evaluation.max_new_tokens,
            batch_size=self._prepared.resolved.micro_batch_size,
            move=self._move,
            together=self._sharded,
        )

    @contextmanager
    def _passing(self, trainer: Any) -> Iterator[None]:
        """Passes as they are made in training, after which the model is as it was."""
        try:
            with trainer.compute_loss_context_manager():
                yield
        finally:
            if self._sharded:
                shards.put_away(trainer.model)

    @functools.cached_property
    def rows(self) -> heldout.HeldOut:
        """The held-out rows, read once."""
        run, said = self._run, self._run.training.dpo
        return heldout.held_out(
            run.method,
            tables.rows(self._task.dataset / prepared.EVAL, run).to_dict(),
            beta=arguments.beta(run),
            loss_type=said.loss_type[0] if said and said.loss_type else None,
            max_length=self._prepared.resolved.max_length,
        )


class Following:
    """What the ranks beside rank 0 do where weights are sharded: a forward pass is one of all ranks, so they make the same ones.

    They judge nothing and write nothing.
    """

    def __init__(self, asking: Asking, *, base_known: bool) -> None:
        """`base_known`: whether rank 0 takes what the base says from a checkpoint."""
        self._asking = asking
        self._base_known = base_known

    def before(self, trainer: Any) -> None:
        """While rank 0 measures the base."""
        if not self._base_known:
            self.compare(trainer)

    def loss_between(self, trainer: Any) -> None:
        """While rank 0 measures between two steps. Ends with it where the pod was told to end."""
        with evaluate.until_interrupted():
            self._asking.said(trainer)

    def compare(self, trainer: Any) -> None:
        """While rank 0 measures a model, and takes its answers."""
        self._asking.said(trainer)
        self._asking.answers(trainer)

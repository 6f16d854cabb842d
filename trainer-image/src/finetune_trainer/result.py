"""The folder to publish: made, and checked by being loaded again. Rank 0 does this, after everything else."""

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finetune_trainer import (
    accelerator,
    card,
    config,
    environment,
    history,
    merged,
    prepared,
    publish,
    report,
    rounding,
    start_adapter,
    tables,
    whole,
)
from finetune_trainer.data import data_report
from finetune_trainer.prepared import Prepared
from finetune_trainer.task import Task, Trained

PROBE_TOKENS = 64
"""Length of the row that the saved adapter is tried on."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one run publishes beside its weights."""

    run: config.Run
    ready: Prepared
    task: Task
    arithmetic: accelerator.Arithmetic
    world: int
    """Ranks."""
    whole_dtype: torch.dtype | None
    """What whole weights are published as; None where an adapter is."""
    dtype: torch.dtype | None
    """What weights are published as; None: an adapter as it was learned."""
    revision: str | None
    """The Hub's, of the base."""
    tell: Callable[..., object]

    def put_together(
        self,
        trainer: Any,
        trained: Trained,
        samples: list[dict[str, Any]],
        *,
        saved: Path,
        weights: Mapping[str, torch.Tensor],
    ) -> None:
        """The checked files, and what it came to for the supervisor.

        `saved`: the adapter that the trainer has written. `weights`: all of them by name, where they are published.
        """
        task, facts = self.task, self.ready.identity
        self.tell(stage="Publish", message="putting the result together")
        log = trainer.state.log_history
        if self.whole_dtype:
            whole.save(trainer.model, weights, saved, self.whole_dtype)
        elif self.dtype:
            rounding.rewrite(saved / start_adapter.WEIGHTS, self.dtype)
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
                **{name: (task.dataset / name).read_text(encoding="utf-8") for name in self.ready.report},
            },
        )
        if self.whole_dtype:
            whole.check_reloads(weights, task.artefact, self.whole_dtype)
        else:
            publish.check_base_named(task.artefact / start_adapter.CONFIG, facts.model.id)
            probe = tables.first_sequence(task.dataset / prepared.TRAIN, self.run)[:PROBE_TOKENS]
            publish.check_reloads(trainer.model, task.artefact, probe)
            if self.run.output.merged:
                merged.add(task.artefact, base=task.model, name=facts.model.id, probe=probe, tell=self.tell)
        publish.check_no_paths(task.artefact, (task.work, task.model, task.dataset, task.run))
        task.trained.write_text(json.dumps(trained.wire()), encoding="utf-8")

    def _facts(
        self, trained: Trained, samples: list[dict[str, Any]], log: list[dict[str, Any]]
    ) -> card.Facts:
        ready, base, job = self.ready, self.ready.identity.model, self.run.job
        return card.Facts(
            run=self.run,
            base_model=ready.identity.model.id,
            revision=self.revision,
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
                **environment.described(), "arithmetic": self.arithmetic.told, "processes": str(self.world)
            },
            provenance={
                "job": f"{job.namespace}/{job.name} ({job.uid})", "image": self.run.image, "base model": base.uri,
                "revision": base.revision, "prepared data": ready.digest, "seed": str(self.run.training.seed),
                **self._scorer_told,
                **self._tasks_told,
            },
            created=report.utc_now().strftime("%Y-%m-%d %H:%M UTC"),
        )  # fmt: skip

    @property
    def _scorer_told(self) -> dict[str, str]:
        """What judged the answers: its figures are those of one model and layer only."""
        said, facts = self.run.evaluation.bert_score, self.ready.scorer
        if not said or not facts:
            return {}
        layer = f"layer {said.layer}" if said.layer else "its last layer"
        return {"scoring model": f"{facts.uri}, {facts.revision}, {layer}"}

    @property
    def _tasks_told(self) -> dict[str, str]:
        """What lm-eval's tasks asked, and which lm-eval it was."""
        return {
            f"task {task.name}": f"{task.data.uri}, {rows.rows} rows asked, {task.few_shot} shown before each, "
            f"sha256:{rows.file.sha256}, lm-eval {importlib.metadata.version('lm-eval')}"
            for task in self.run.evaluation.tasks or ()
            for rows in [self.ready.tasks[task.name]]
        }

    @property
    def _data_report(self) -> dict[str, Any] | None:
        """data-report.json; None where Prepare left none."""
        if data_report.JSON not in self.ready.report:
            return None
        read: dict[str, Any] = json.loads((self.task.dataset / data_report.JSON).read_text(encoding="utf-8"))
        return read

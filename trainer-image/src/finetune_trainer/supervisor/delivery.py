"""The way of what was trained into the bucket: published whole, or kept back by the gate."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from finetune_trainer import config, errors, hub_copy, outcome, report, start_adapter, storage
from finetune_trainer.layout import Layout
from finetune_trainer.plural import counted
from finetune_trainer.prepared import FileFacts, Prepared
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import publication
from finetune_trainer.supervisor.ending import Ending
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.supervisor.ranks import say
from finetune_trainer.task import Task, Trained
from finetune_trainer.verdict import Verdict

UNPUBLISHED = "unpublished"
"""Folder of the work area: a result that the gate kept back."""

TOO_LATE = errors.Interrupted(
    "stopped from outside (SIGTERM) before the copy on the Hub was complete; the result in the bucket is complete, and can be "
    "uploaded from there"
)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One run's, on the node that leads."""

    run: config.Run
    layout: Layout
    work: Store
    fence: Fence
    writer: report.ProgressWriter
    started: float
    """When this pod started, on the monotonic clock (s)."""
    memory_told: dict[str, Any]
    """What memory made of the resolved settings, for the result."""
    warnings: tuple[str, ...]
    """What went wrong beside the training; sentences."""
    stands: Callable[[Ending], object]
    """Hears how the stage will have ended, once the result lies in the bucket and only its copy is under way."""

    def kept_back(self, given: Task, ready: Prepared, said: Verdict) -> Ending:
        """The gate does not hold: the result is kept in the work area, where nobody takes it for published."""
        trained = _trained(given)
        files = publication.files_of(given.artefact)
        for name in files:
            self._sending(name)
            self.work.put(f"{UNPUBLISHED}/{name}", given.artefact / name)
        uri = self.work.uri_of(UNPUBLISHED)
        told = self._result(self.run, ready, trained, files)
        del told["adapter"]
        return Ending(
            exit_code=said.exit_code,
            reason=said.reason,
            message=f"{said.message}; what was trained is kept at {uri}, with its report.html",
            result={**told, "unpublished": {"uri": uri}},
        )

    def published(self, given: Task, ready: Prepared) -> Ending:
        """Send the result. SIGTERM may still come: sending goes on while the grace period lasts."""
        run = start_adapter.applied(self.run, self.layout.dataset)
        output = outcome.output(run, self.layout)
        trained = _trained(given)
        files = publication.files_of(given.artefact)
        told = self._result(run, ready, trained, files) | self.memory_told
        last = report.read_progress(self.layout.progress)
        self.writer.now = last or self.writer.now
        self.writer.tell(stage="Publish", message=f"sending {len(files)} files")
        if (
            found := outcome.look(run, self.layout)
        ) is not None:  # or raises: others may have published meanwhile
            clean(run, self.layout)
            return Ending(
                exit_code=0, reason="Published", message="published by an earlier attempt", result=found
            )
        written = publication.manifest(
            run, ready, files=files, told=told, created_at=report.utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        digest = publication.send(output, self.work, given.artefact, files, written, between=self._sending)
        clean(run, self.layout)
        told["adapter"]["digest"] = digest
        ending = Ending(
            exit_code=0, reason="Published", message=_sentence(run, trained) + self._beside, result=told
        )
        if run.output.hub:
            self.stands(_with_copy(ending, hub_copy.unmade(run.output.hub, TOO_LATE)))
            self.writer.tell(message=f"copying the result to hf://{run.output.hub.repo}")
            copy = hub_copy.send(run, self.layout, given.artefact, files, written)
            ending = _with_copy(ending, copy)
        self.writer.tell(stage="Done", message="published")
        return ending

    def _result(
        self, run: config.Run, ready: Prepared, trained: Trained, files: dict[str, FileFacts]
    ) -> dict[str, Any]:
        seconds = time.monotonic() - self.started
        told = publication.result(run, ready, trained, files=files, seconds=seconds)
        told["progress"] |= {"warnings": list(self.warnings)} if self.warnings else {}
        return told

    @property
    def _beside(self) -> str:
        """Half a sentence where something went wrong that did not stop the run."""
        return "; some figures did not reach a tracker (status.progress.warnings)" if self.warnings else ""

    def _sending(self, name: str) -> None:
        """Raises `Superseded` where another run of this job goes on, or has even published and removed the work area."""
        if not self.fence.check() and outcome.look(self.run, self.layout) is not None:
            raise errors.Superseded(
                "another run of this job has published meanwhile; this one writes nothing more"
            )
        self.writer.tell(message=f"sending {name}")


def clean(run: config.Run, layout: Layout) -> None:
    """Remove the work in progress. The result is there: that some of it cannot be removed is told, and no failure.

    From the folder above, so that a claim keeps no empty folders.
    """
    work = outcome.work_area(run, layout).reference
    base, _, below = work.uri.rpartition("/.finetune/")
    try:
        storage.open_store(work.beside(base), layout).delete_below(f".finetune/{below}")
    except Exception as error:  # noqa: BLE001 - see above
        say(f"the work area could not be removed: {error}")


def _with_copy(ending: Ending, copy: dict[str, Any]) -> Ending:
    """`ending`, and what became of the copy on the Hub."""
    return replace(
        ending,
        message=ending.message + hub_copy.sentence(copy),
        result={**(ending.result or {}), "hub": copy},
    )


def _trained(given: Task) -> Trained:
    return Trained.model_validate_json(given.trained.read_bytes())


def _sentence(run: config.Run, trained: Trained) -> str:
    """What was reached, for a person."""
    better = ""
    if found := trained.evaluation:
        losses = [found.base.loss, *([found.start.loss] if found.start else []), found.tuned.loss]
        better = f"; held-out loss {' -> '.join(f'{one:.3f}' for one in losses)} on {found.rows} rows"
    what = "the model" if run.tuning.type == "Full" else f"the {run.tuning.type} adapter"
    kept = "" if trained.kept_step is None else f", step {trained.kept_step} kept"
    return f"{counted(trained.step, 'step')} trained{kept}; {what} is at {run.output.uri}{better}"

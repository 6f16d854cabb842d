"""The training stage, in order."""

import time
from pathlib import Path
from typing import Any

from finetune_trainer import config, errors, not_yet, outcome, report, start_adapter, storage
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import Prepared
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import fetch, gang, launch, publication, serve
from finetune_trainer.supervisor.ending import OVERDUE, Ending, LastMoment
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.supervisor.ranks import Ranks, say
from finetune_trainer.task import Task, Trained
from finetune_trainer.verdict import Verdict

UNPUBLISHED = "unpublished"
"""Folder of the work area: a result that the gate kept back."""


def train(
    run: config.Run,
    document: Path,
    layout: Layout,
    *,
    attempt: int,
    digest: str,
    interruption: Interruption,
    last_moment: LastMoment,
    port: int = serve.PORT,
    main: str | None = None,
) -> Ending:
    """Train and publish `run`, which stands in the file `document`, from the prepared dataset `digest`.

    `main`: where node 0 of several is. `last_moment` learns what stands. Raises our errors where something is missing or denied.
    """
    not_yet.check(run)
    work, node = outcome.work_area(run, layout), launch.node_of(launch.inherited())
    if (found := outcome.look(run, layout)) is not None:
        if node == 0:
            _clean(run, layout)
        return Ending(
            exit_code=0, reason="Published", message="published by an earlier attempt", result=found
        )
    peers = gang.of(run, node=node, main=main, attempt=attempt, told_to_stop=lambda: interruption.noted)
    pod = _Pod(run, document, layout, work, peers, attempt=attempt, interruption=interruption)
    last_moment.ending = lambda: pod.ended(OVERDUE)
    server = serve.Server(pod.progress, port=port, hear=peers.hear)
    (layout.state / "port").write_text(str(server.port))
    code = int(errors.ExitCode.INTERNAL)
    try:
        ending = pod.train(digest)
        code = ending.exit_code
    except errors.TrainerError as error:
        code = errors.exit_code_of(error)
        raise
    else:
        return ending
    finally:
        peers.end(code)
        server.close()


class _Pod:
    """One attempt on one node."""

    def __init__(
        self,
        run: config.Run,
        document: Path,
        layout: Layout,
        work: Store,
        peers: gang.Gang,
        *,
        attempt: int,
        interruption: Interruption,
    ) -> None:
        layout.make_folders()
        self._run = run
        self._layout = layout
        self._work = work
        self._gang = peers
        self._interruption = interruption
        self._started = time.monotonic()
        self._writer = report.ProgressWriter(layout.progress, attempt=attempt)
        self._fence: Fence | None = None
        self._ranks = Ranks(
            run,
            document,
            layout,
            work,
            peers,
            attempt=attempt,
            interruption=interruption,
            writer=self._writer,
        )

    def progress(self) -> report.Progress | None:
        """The ranks' document, with what only we know of: the checkpoint, and the rows that memory left."""
        told = report.read_progress(self._layout.progress)
        fewer = self._ranks.micro_batch
        known = {
            "checkpoint": self._ranks.checkpoint,
            "micro_batch_size": fewer and fewer.micro_batch_size,
            "out_of_memory": fewer and fewer.out_of_memory,
        }
        return told and told.model_copy(update=known)

    def train(self, digest: str) -> Ending:
        """All stages, in order. Raises `Superseded` where a later run has taken over."""
        if self._gang.leads:
            self._fence = Fence.raised(self._work)
        try:
            return self._stages(digest)
        except errors.TrainerError:
            if self._fence:
                self._fence.check()  # what a run fails at that was taken for lost is not the job's failure
            raise

    def ended(self, said: Verdict | errors.TrainerError) -> Ending:
        """The end without a result: what stands is told, and the next attempt goes on from there."""
        code = said.exit_code if isinstance(said, Verdict) else errors.exit_code_of(said)
        message = said.message if isinstance(said, Verdict) else str(said)
        stands = None if code in errors.FINAL else self._ranks.checkpoint
        rest = f"; the checkpoint of step {stands.step} lies at {stands.uri}" if stands else ""
        result = {"checkpoint": stands.wire()} if stands else {}
        return Ending(
            exit_code=code,
            reason=said.reason,
            message=message + rest,
            result=(result | self._memory_told) or None,
        )

    def _stages(self, digest: str) -> Ending:
        ready = fetch.dataset(self._work, self._layout, digest, self._writer)
        fetch.model(self._run, self._layout, ready, self._writer)
        plan = self._gang.plan(lambda: self._ranks.plan(ready, epoch=self._in_force.epoch))
        if not self._gang.leads:
            self._fence = Fence(self._work, plan.epoch)
            self._ranks.follow(plan, ready)
        given = self._ranks.task(plan)
        self._gang.meet()
        with self._interruption.deferred():
            said = self._ranks.see_through(given, ready, self._in_force)
            if said.exit_code == errors.ExitCode.GATE and given.trained.is_file():
                return self._refused(given, ready, said)
            if said.exit_code != errors.ExitCode.OK:
                return self._failed(said)
            if self._gang.leads:
                return self._published(given, ready)
        return Ending(
            exit_code=0, reason="Trained", message="trained to the end; node 0 publishes the result"
        )

    @property
    def _in_force(self) -> Fence:
        if self._fence is None:
            raise errors.InternalError("the run's number was not taken")
        return self._fence

    @property
    def _memory_told(self) -> dict[str, Any]:
        """What memory made of the resolved settings, for the result."""
        fewer = self._ranks.micro_batch
        if fewer is None:
            return {}
        return {"resolved": {"microBatchSize": fewer.micro_batch_size, "outOfMemory": fewer.out_of_memory}}

    def _failed(self, said: Verdict) -> Ending:
        """Nothing is published; what was saved is sent, so that the next attempt goes on from there."""
        self._ranks.send_rest()
        self._in_force.check()
        return self.ended(said)

    def _refused(self, given: Task, ready: Prepared, said: Verdict) -> Ending:
        """The gate does not hold: the result is kept in the work area, where nobody takes it for published."""
        self._ranks.drop_rest()
        trained = Trained.model_validate_json(given.trained.read_bytes())
        files = publication.files_of(given.artefact)
        for name in files:
            self._sending(name)
            self._work.put(f"{UNPUBLISHED}/{name}", given.artefact / name)
        uri = self._work.uri_of(UNPUBLISHED)
        told = publication.result(
            self._run, ready, trained, files=files, seconds=time.monotonic() - self._started
        )
        del told["adapter"]
        return Ending(
            exit_code=said.exit_code, reason=said.reason, message=f"{said.message}; what was trained lies at {uri}",
            result={**told, "unpublished": {"uri": uri}},
        )  # fmt: skip

    def _published(self, given: Task, ready: Prepared) -> Ending:
        """Send the result. SIGTERM may still come: sending goes on while the grace period lasts."""
        self._ranks.drop_rest()
        run = start_adapter.applied(self._run, self._layout.dataset)
        output = outcome.output(run, self._layout)
        trained = Trained.model_validate_json(given.trained.read_bytes())
        files = publication.files_of(given.artefact)
        told = publication.result(run, ready, trained, files=files, seconds=time.monotonic() - self._started)
        told |= self._memory_told
        last = report.read_progress(self._layout.progress)
        self._writer.now = last or self._writer.now
        self._writer.tell(stage="Publish", message=f"sending {len(files)} files")
        if (
            found := outcome.look(run, self._layout)
        ) is not None:  # or raises: others may have published meanwhile
            return Ending(
                exit_code=0, reason="Published", message="published by an earlier attempt", result=found
            )
        written = publication.manifest(run, ready, files=files, told=told, created_at=_now())
        digest = publication.send(output, given.artefact, files, written, between=self._sending)
        _clean(run, self._layout)
        self._writer.tell(stage="Done", message="published")
        told["adapter"]["digest"] = digest
        return Ending(exit_code=0, reason="Published", message=_sentence(run, trained), result=told)

    def _sending(self, name: str) -> None:
        self._in_force.check()
        self._writer.tell(message=f"sending {name}")


def _sentence(run: config.Run, trained: Trained) -> str:
    """What was reached, for a person."""
    better = ""
    if found := trained.evaluation:
        losses = [found.base.loss, *([found.start.loss] if found.start else []), found.tuned.loss]
        better = f"; held-out loss {' -> '.join(f'{one:.3f}' for one in losses)} on {found.rows} rows"
    what = "the model lies" if run.tuning.type == "Full" else f"the {run.tuning.type} adapter lies"
    kept = "" if trained.kept_step is None else f", step {trained.kept_step} kept"
    return f"{trained.step} steps trained{kept}, {what} at {run.output.uri}{better}"


def _clean(run: config.Run, layout: Layout) -> None:
    """Remove the work in progress. The result is there: that some of it cannot be removed is told, and no failure.

    From the folder above, so that a claim keeps no empty folders.
    """
    work = outcome.work_area(run, layout).reference
    base, _, below = work.uri.rpartition("/.finetune/")
    try:
        storage.open_store(work.beside(base), layout).delete_below(f".finetune/{below}")
    except Exception as error:  # noqa: BLE001 - see above
        say(f"the work area could not be removed: {error}")


def _now() -> str:
    return report.utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")

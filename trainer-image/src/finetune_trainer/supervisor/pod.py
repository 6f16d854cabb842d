"""The training stage, in order."""

import time
from pathlib import Path
from typing import Any

from finetune_trainer import config, errors, not_yet, outcome, report
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import delivery, fetch, gang, launch, patience, serve
from finetune_trainer.supervisor.delivery import Delivery
from finetune_trainer.supervisor.ending import OVERDUE, Ending, LastMoment
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.supervisor.ranks import Ranks, say
from finetune_trainer.supervisor.trackers import Trackers
from finetune_trainer.task import Task
from finetune_trainer.tracking.assignment import Outcome
from finetune_trainer.verdict import Verdict

GOES_ON = frozenset({errors.ExitCode.INTERRUPTED, errors.ExitCode.OUTSIDE})
"""Ends after which the next attempt does, as if nothing had happened."""


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
            delivery.clean(run, layout)
        return Ending(
            exit_code=0, reason="Published", message="published by an earlier attempt", result=found
        )
    peers = gang.of(run, node=node, main=main, attempt=attempt, told_to_stop=lambda: interruption.noted)
    pod = _Pod(run, document, layout, work, peers, attempt=attempt, interruption=interruption)
    last_moment.ending = lambda: pod.stands or pod.ended(OVERDUE)
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
        pod.trackers.close()
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
        self.stands: Ending | None = None
        """How this stage will have ended whatever comes now: the result lies in the bucket."""
        self.trackers = Trackers(run, document, layout, say=say)
        self._ranks = Ranks(
            run,
            document,
            layout,
            work,
            peers,
            attempt=attempt,
            interruption=interruption,
            writer=self._writer,
            beside=self.trackers.pids,
        )

    def progress(self) -> report.Progress | None:
        """The ranks' document, with what only we know of: the checkpoint, the rows that memory left, and how the trackers are."""
        told = report.read_progress(self._layout.progress)
        fewer = self._ranks.micro_batch
        known = {
            "checkpoint": self._ranks.checkpoint,
            "micro_batch_size": fewer and fewer.micro_batch_size,
            "out_of_memory": fewer and fewer.out_of_memory,
            "warnings": self.trackers.warnings() or None,
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
        rest = f"; the checkpoint of step {stands.step} is at {stands.uri}" if stands else ""
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
        if self._gang.leads:
            fetch.scorer(self._run, self._layout, ready, self._writer)
        plan = self._gang.plan(lambda: self._ranks.plan(ready, epoch=self._in_force.epoch))
        if not self._gang.leads:
            self._fence = Fence(self._work, plan.epoch)
            self._ranks.follow(plan, ready)
        given = self._ranks.task(plan, ready)
        self._gang.meet()
        if self._gang.leads:
            self.trackers.begin(given, ready.at(given.micro_batch_size).resolved.wire())
        with self._interruption.deferred():
            said = self._ranks.see_through(given, ready, self._in_force)
            if said.exit_code == errors.ExitCode.GATE and given.trained.is_file():
                self._ranks.drop_rest()
                self._trackers_end("Failed", given)
                return self._delivery.kept_back(given, ready, said)
            if said.exit_code != errors.ExitCode.OK:
                return self._failed(said)
            if self._gang.leads:
                self._ranks.drop_rest()
                self._trackers_end("Finished", given)
                return self._delivery.published(given, ready)
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
        self.trackers.announce("Interrupted" if said.exit_code in GOES_ON else "Failed")
        self._ranks.send_rest()
        self.trackers.close(
            seconds=lambda: patience.for_trackers(self._run.limits, self._interruption, result=False)
        )
        self._in_force.check()
        return self.ended(said)

    def _trackers_end(self, outcome: Outcome, given: Task) -> None:
        """Tell the trackers how good the result is, and put beside it what they have written."""
        self.trackers.end(
            outcome,
            given,
            seconds=lambda: patience.for_trackers(self._run.limits, self._interruption, result=True),
        )

    @property
    def _delivery(self) -> Delivery:
        """The way of what was trained into the bucket."""
        return Delivery(
            run=self._run,
            layout=self._layout,
            work=self._work,
            fence=self._in_force,
            writer=self._writer,
            started=self._started,
            memory_told=self._memory_told,
            warnings=self.trackers.warnings(),
            stands=self._stand,
        )

    def _stand(self, ending: Ending) -> None:
        self.stands = ending

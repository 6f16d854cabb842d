"""The ranks from their start to their end; where the accelerator's memory does not suffice, again with half the micro-batch."""

import shutil
import time
from pathlib import Path

from finetune_trainer import checkpoint, config, errors, report, verdict
from finetune_trainer.errors import ExitCode
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.plural import counted
from finetune_trainer.prepared import Prepared
from finetune_trainer.report import CheckpointSeen
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import gang, judge, launch, micro_batch, patience, uploads, watch
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.supervisor.micro_batch import MicroBatch
from finetune_trainer.supervisor.processes import Beside, Processes, nobody
from finetune_trainer.task import Task
from finetune_trainer.verdict import Verdict

MEMORY_EVENTS = Path("/sys/fs/cgroup/memory.events")
"""Counts the processes of this pod that the kernel killed for memory (cgroup v2)."""


AGAIN = errors.Interrupted(
    "out of memory; the next attempt of all nodes begins with fewer rows at a time (spec.training.microBatchSize), from the last "
    "checkpoint"
)


class Ranks:
    """This node's ranks."""

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
        writer: report.ProgressWriter,
        beside: Beside = nobody,
    ) -> None:
        """`beside`: children of this process that are no ranks."""
        self._beside = beside
        self._run = run
        self._document = document
        self._layout = layout
        self._work = work
        self._gang = peers
        self._attempt = attempt
        self._interruption = interruption
        self._writer = writer
        self._uploads: uploads.Uploads | None = None
        self._resumed: CheckpointSeen | None = None
        self._passed_over: frozenset[int] = frozenset()
        self._fingerprint = ""
        self._port = 0
        self.micro_batch: MicroBatch | None = None
        """What is left after the accelerator ran out of memory; None where it never did."""

    @property
    def checkpoint(self) -> CheckpointSeen | None:
        """The newest one that lies in the work area and is ours to go on from."""
        return (self._uploads and self._uploads.last) or self._resumed

    def plan(self, ready: Prepared, *, epoch: int) -> gang.Plan:
        """What all nodes shall do: go on from the newest checkpoint that is whole, else begin. Node 0 decides."""
        self._writer.tell(message="looking for a checkpoint")
        self._fingerprint = _fingerprint(self._run, ready)
        found = uploads.newest(self._work, self._resume_from, fingerprint=self._fingerprint, say=say)
        self._resumed, self._passed_over = found.checkpoint, found.passed_over
        self.micro_batch = self.micro_batch or micro_batch.remembered(self._work)
        if self._resumed:
            say(f"going on from the checkpoint of step {self._resumed.step}")
        return gang.Plan(
            epoch=epoch,
            step=self._resumed.step if self._resumed else None,
            port=launch.free_port() if self._run.resources.nodes == 1 else launch.MAIN_PORT,
            micro_batch=self.micro_batch,
        )

    def follow(self, plan: gang.Plan, ready: Prepared) -> None:
        """Fetch what node 0 goes on from."""
        self._fingerprint = _fingerprint(self._run, ready)
        self.micro_batch = plan.micro_batch
        if plan.step is not None:
            say(f"going on from the checkpoint of step {plan.step}, as node 0 does")
            self._resumed = uploads.of_step(
                self._work, plan.step, self._resume_from, fingerprint=self._fingerprint
            )

    @property
    def _resume_from(self) -> Path:
        return self._layout.scratch / "resume"

    def task(self, plan: gang.Plan, ready: Prepared) -> Task:
        """What the ranks shall do."""
        self._port = plan.port
        work = self._layout.scratch / "ranks"
        shutil.rmtree(work, ignore_errors=True)  # left-over files of another start would be read
        return Task(
            run=self._document,
            attempt=self._attempt,
            dataset=self._layout.dataset,
            model=self._layout.model,
            scorer=self._layout.scorer if ready.scorer and self._gang.leads else None,
            progress=self._layout.progress,
            work=work,
            resume=self._resume_from if self._resumed else None,
            micro_batch_size=plan.micro_batch and plan.micro_batch.micro_batch_size,
        )

    def see_through(self, given: Task, ready: Prepared, fence: Fence) -> Verdict:
        """Start the ranks and see them to their end, as often as half the micro-batch may help."""
        said = self._once(given, fence)
        while said.exit_code == ExitCode.OUT_OF_MEMORY and self._with_fewer_rows(given, ready, fence):
            if self._run.resources.nodes > 1:  # the ranks of other pods are not ours to start again
                return verdict.of(AGAIN, rank=said.rank)
            self.send_rest()
            given = self.task(self.plan(ready, epoch=fence.epoch), ready)
            said = self._once(given, fence)
        return said

    def send_rest(self) -> None:
        """Send the checkpoint that is still here, while there is time."""
        if self._uploads:
            self._uploads.end(seconds=patience.for_uploads(self._run.limits, self._interruption))

    def drop_rest(self) -> None:
        """Stop sending: what is still here is no longer needed."""
        if self._uploads:
            self._uploads.stop()

    def _with_fewer_rows(self, given: Task, ready: Prepared, fence: Fence) -> bool:
        """Whether the next start of the ranks has fewer rows in a forward pass: it is remembered."""
        told = report.read_progress(self._layout.progress)
        if self._interruption.noted or (told and told.stage == "Load"):
            return False  # weights that do not fit are no fewer with fewer rows
        resolved = ready.at(given.micro_batch_size).resolved
        fewer = micro_batch.halved(self._work, fence, self._run, resolved, self.micro_batch)
        if fewer is None:
            return False
        say(
            f"out of memory: trying again with {counted(fewer.micro_batch_size, 'row')} at a time, the same batch per step"
        )
        self.micro_batch = fewer
        return True

    def _once(self, given: Task, fence: Fence) -> Verdict:
        """One start of the ranks, and how it ended."""
        self._uploads = uploads.Uploads(
            self._work,
            given.finished,
            fingerprint=self._fingerprint,
            keep=self._run.checkpoint.keep,
            fence=fence,
            say=say,
            passed_over=self._passed_over,
        )
        self._uploads.start()
        killed_before = _memory_kills()
        self._writer.tell(stage="Load", message="starting the training processes")
        processes = self._start(given)
        per_node = self._run.resources.processes_per_node
        first = self._gang.node * per_node

        def said() -> list[Verdict | None]:
            return [verdict.read(given.verdicts, rank) for rank in range(first, first + per_node)]

        end = watch.until_gone(
            processes,
            stopping=lambda: self._interruption.noted or self._gang.stopping(),
            deserted=lambda: self._gang.lost() is not None,
            spoken=lambda: _is_over(said()),
            heartbeat=watch.Heartbeat(self._layout.progress, time.monotonic),
            patience=patience.for_ranks(self._run.limits, leads=self._gang.leads),
        )
        return judge.judge(
            end,
            said(),
            stall_seconds=self._run.limits.stall_timeout_seconds,
            exits=processes.exits,
            memory_kills=_memory_kills() - killed_before,
            first_rank=first,
            lost=self._gang.lost(),
        )

    def _start(self, given: Task) -> Processes:
        if not self._gang.leads:
            launch.reach(self._gang.main_host, self._port)
        inherited = launch.inherited()
        command = launch.command(
            self._run,
            given.save(),
            node=self._gang.node,
            main_address=self._gang.main_host,
            main_port=self._port,
        )
        environment = launch.environment(self._run, self._layout, inherited)
        return Processes.start(command, environment, beside=self._beside)


def _is_over(said: list[Verdict | None]) -> bool:
    """Whether nothing more is to be heard: all have spoken, or one has failed, and the others wait for it in vain."""
    return all(said) or any(verdict.knows(one) for one in said if one)


def _fingerprint(run: config.Run, ready: Prepared) -> str:
    return checkpoint.fingerprint(run, data=ready.digest, revision=ready.identity.model.revision)


def _memory_kills() -> int:
    """Processes of this pod killed for memory so far; 0 where nobody counts."""
    try:
        counts = dict(line.split() for line in MEMORY_EVENTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counts.get("oom_kill", 0))


def say(line: str) -> None:
    """A line in the pod's log."""
    print(line, flush=True)  # noqa: T201 - see above

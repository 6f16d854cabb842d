"""The ranks from their start to their end; where the accelerator's memory does not suffice, again with half the micro-batch."""

import shutil
import time
from pathlib import Path

from finetune_trainer import checkpoint, config, errors, report, verdict
from finetune_trainer.errors import ExitCode
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import Prepared
from finetune_trainer.report import CheckpointSeen
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import judge, launch, micro_batch, patience, uploads, watch
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.supervisor.micro_batch import MicroBatch
from finetune_trainer.supervisor.processes import Processes
from finetune_trainer.task import Task
from finetune_trainer.verdict import Verdict

MEMORY_EVENTS = Path("/sys/fs/cgroup/memory.events")
"""Counts the processes of this pod that the kernel killed for memory (cgroup v2)."""


AGAIN = errors.Interrupted(
    "out of memory; the next attempt of all nodes begins with fewer rows per forward pass, from the last checkpoint"
)


class Ranks:
    """The gang of one attempt on this node."""

    def __init__(
        self,
        run: config.Run,
        document: Path,
        layout: Layout,
        work: Store,
        *,
        attempt: int,
        interruption: Interruption,
        writer: report.ProgressWriter,
    ) -> None:
        self._run = run
        self._document = document
        self._layout = layout
        self._work = work
        self._attempt = attempt
        self._interruption = interruption
        self._writer = writer
        self._uploads: uploads.Uploads | None = None
        self._resumed: CheckpointSeen | None = None
        self._passed_over: frozenset[int] = frozenset()
        self._fingerprint = ""
        self.micro_batch: MicroBatch | None = None
        """What is left after the accelerator ran out of memory; None where it never did."""

    @property
    def checkpoint(self) -> CheckpointSeen | None:
        """The newest one that lies in the work area and is ours to go on from."""
        return (self._uploads and self._uploads.last) or self._resumed

    def prepare(self, ready: Prepared) -> Task:
        """What the ranks shall do: from the newest checkpoint that is whole, else from the start."""
        work, resume = self._layout.scratch / "ranks", self._layout.scratch / "resume"
        shutil.rmtree(work, ignore_errors=True)  # left-over files of another start would be read
        self._writer.tell(message="looking for a checkpoint")
        self._fingerprint = checkpoint.fingerprint(
            self._run, data=ready.digest, revision=ready.identity.model.revision
        )
        found = uploads.newest(self._work, resume, fingerprint=self._fingerprint, say=say)
        self._resumed, self._passed_over = found.checkpoint, found.passed_over
        self.micro_batch = self.micro_batch or micro_batch.remembered(self._work)
        if self._resumed:
            say(f"going on from the checkpoint of step {self._resumed.step}")
        return Task(
            run=self._document,
            attempt=self._attempt,
            dataset=self._layout.dataset,
            model=self._layout.model,
            progress=self._layout.progress,
            work=work,
            resume=resume if self._resumed else None,
            micro_batch_size=self.micro_batch and self.micro_batch.micro_batch_size,
        )

    def see_through(self, given: Task, ready: Prepared, fence: Fence) -> Verdict:
        """Start the ranks and see them to their end, as often as half the micro-batch may help."""
        said = self._once(given, fence)
        while said.exit_code == ExitCode.OUT_OF_MEMORY and self._with_fewer_rows(given, ready, fence):
            if self._run.resources.nodes > 1:  # the ranks of other pods are not ours to start again
                return verdict.of(AGAIN, rank=said.rank)
            self.send_rest()
            given = self.prepare(ready)
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
            f"out of memory: again with {fewer.micro_batch_size} rows per forward pass, the same batch per step"
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
        self._writer.tell(stage="Load", message="starting the ranks")
        processes = self._start(given)

        def said() -> list[Verdict | None]:
            return [verdict.read(given.verdicts, rank) for rank in range(self._run.resources.processes)]

        end = watch.until_gone(
            processes,
            stopping=lambda: self._interruption.noted,
            spoken=lambda: _is_over(said()),
            heartbeat=watch.Heartbeat(self._layout.progress, time.monotonic),
            patience=patience.for_ranks(self._run.limits),
        )
        return judge.judge(
            end,
            said(),
            stall_seconds=self._run.limits.stall_timeout_seconds,
            exits=processes.exits,
            memory_kills=_memory_kills() - killed_before,
        )

    def _start(self, given: Task) -> Processes:
        inherited = launch.inherited()
        command = launch.command(
            self._run,
            given.save(),
            node=launch.node_of(inherited),
            main_address="127.0.0.1",
            main_port=launch.free_port(),
        )
        return Processes.start(command, launch.environment(self._run, self._layout, inherited))


def _is_over(said: list[Verdict | None]) -> bool:
    """Whether nothing more is to be heard: all have spoken, or one has failed, and the others wait for it in vain."""
    return all(said) or any(verdict.knows(one) for one in said if one)


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

"""The training stage, in order."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_trainer import checkpoint, config, errors, not_yet, outcome, report, storage, verdict
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import Prepared
from finetune_trainer.report import CheckpointSeen
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import fetch, judge, launch, publication, serve, uploads, watch
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.supervisor.processes import Processes
from finetune_trainer.task import Task, Trained
from finetune_trainer.verdict import Verdict

MEMORY_EVENTS = Path("/sys/fs/cgroup/memory.events")
"""Counts the processes of this pod that the kernel killed for memory (cgroup v2)."""

UPLOAD_SHARE, UPLOAD_SECONDS = 0.25, 20.0
"""Of the grace period, what is left after the ranks for the last checkpoint's way out: a quarter, at most 20 s."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a stage ended, as exit code and last word tell it."""

    exit_code: int
    reason: str
    message: str
    result: dict[str, Any] | None = None


def train(
    run: config.Run,
    document: Path,
    layout: Layout,
    *,
    attempt: int,
    digest: str,
    interruption: Interruption,
    port: int = serve.PORT,
) -> Ending:
    """Train and publish `run`, which stands in the file `document`, from the prepared dataset `digest`.

    Raises our errors where something is missing or denied.
    """
    not_yet.check(run)
    work = outcome.work_area(run, layout)
    if (found := outcome.look(run, layout)) is not None:
        _clean(run, layout)
        return Ending(
            exit_code=0, reason="Published", message="published by an earlier attempt", result=found
        )
    pod = _Pod(run, document, layout, work, attempt=attempt, interruption=interruption)
    server = serve.Server(pod.progress, port=port)
    (layout.state / "port").write_text(str(server.port))
    try:
        return pod.train(digest)
    finally:
        server.close()


class _Pod:
    """One attempt on one node."""

    def __init__(
        self,
        run: config.Run,
        document: Path,
        layout: Layout,
        work: Store,
        *,
        attempt: int,
        interruption: Interruption,
    ) -> None:
        layout.make_folders()
        self._run = run
        self._document = document
        self._layout = layout
        self._work = work
        self._attempt = attempt
        self._interruption = interruption
        self._started = time.monotonic()
        self._writer = report.ProgressWriter(layout.progress, attempt=attempt)
        self._fence: Fence | None = None
        self._uploads: uploads.Uploads | None = None
        self._resumed: CheckpointSeen | None = None

    def progress(self) -> report.Progress | None:
        """The ranks' document, with the checkpoint that only we know of."""
        told = report.read_progress(self._layout.progress)
        return told and told.model_copy(update={"checkpoint": self._checkpoint})

    def train(self, digest: str) -> Ending:
        """All stages, in order. Raises `Superseded` where a later run has taken over."""
        self._fence = Fence.raised(self._work)
        try:
            return self._stages(digest)
        except errors.TrainerError:
            self._fence.check()  # what a run fails at that was taken for lost is not the job's failure
            raise

    def _stages(self, digest: str) -> Ending:
        ready = fetch.dataset(self._work, self._layout, digest, self._writer)
        fetch.model(self._run, self._layout, ready, self._writer)
        given = self._task(ready)
        with self._interruption.deferred():
            said = self._run_ranks(given, ready)
            if said.exit_code != errors.ExitCode.OK:
                return self._failed(said)
            return self._published(given, ready)

    @property
    def _in_force(self) -> Fence:
        if self._fence is None:
            raise errors.InternalError("the run's number was not taken")
        return self._fence

    @property
    def _checkpoint(self) -> CheckpointSeen | None:
        return (self._uploads and self._uploads.last) or self._resumed

    def _task(self, ready: Prepared) -> Task:
        """What the ranks shall do: from the newest checkpoint that is whole, else from the start."""
        work, resume = self._layout.scratch / "ranks", self._layout.scratch / "resume"
        shutil.rmtree(work, ignore_errors=True)  # left-over files of another start would be read
        self._writer.tell(message="looking for a checkpoint")
        self._resumed = uploads.newest(self._work, resume, fingerprint=self._fingerprint(ready), say=_say)
        if self._resumed:
            _say(f"going on from the checkpoint of step {self._resumed.step}")
        return Task(
            run=self._document,
            attempt=self._attempt,
            dataset=self._layout.dataset,
            model=self._layout.model,
            progress=self._layout.progress,
            work=work,
            resume=resume if self._resumed else None,
        )

    def _fingerprint(self, ready: Prepared) -> str:
        return checkpoint.fingerprint(self._run, data=ready.digest, revision=ready.identity.model.revision)

    def _run_ranks(self, given: Task, ready: Prepared) -> Verdict:
        """Start the ranks, and see them to their end."""
        self._uploads = uploads.Uploads(
            self._work,
            given.finished,
            fingerprint=self._fingerprint(ready),
            keep=self._run.checkpoint.keep,
            fence=self._in_force,
            say=_say,
        )
        self._uploads.start()
        ranks = range(self._run.resources.processes)
        killed_before = _memory_kills()
        self._writer.tell(stage="Load", message="starting the ranks")
        processes = self._start(given)
        end = watch.until_gone(
            processes,
            stopping=lambda: self._interruption.noted,
            spoken=lambda: all(verdict.read(given.verdicts, rank) for rank in ranks),
            heartbeat=watch.Heartbeat(self._layout.progress, time.monotonic),
            patience=_patience(self._run.limits),
        )
        return judge.judge(
            end,
            [verdict.read(given.verdicts, rank) for rank in ranks],
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

    def _failed(self, said: Verdict) -> Ending:
        """Nothing is published; what was saved is sent, so that the next attempt goes on from there."""
        if self._uploads:
            self._uploads.end()
        self._in_force.check()
        stands = self._checkpoint
        resumable = said.exit_code not in errors.FINAL
        rest = f"; the checkpoint of step {stands.step} lies at {stands.uri}" if stands and resumable else ""
        result = {"checkpoint": stands.wire()} if stands and resumable else None
        return Ending(
            exit_code=said.exit_code, reason=said.reason, message=said.message + rest, result=result
        )

    def _published(self, given: Task, ready: Prepared) -> Ending:
        """Send the result. SIGTERM may still come: sending goes on while the grace period lasts."""
        if self._uploads:
            self._uploads.stop()
        run, output = self._run, outcome.output(self._run, self._layout)
        trained = Trained.model_validate_json(given.trained.read_bytes())
        files = publication.files_of(given.artefact)
        told = publication.result(run, ready, trained, files=files, seconds=time.monotonic() - self._started)
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


def _patience(limits: config.Limits) -> watch.Patience:
    grace = float(limits.grace_period_seconds)
    return watch.Patience(
        stall=float(limits.stall_timeout_seconds), stop=grace - min(UPLOAD_SECONDS, UPLOAD_SHARE * grace)
    )


def _sentence(run: config.Run, trained: Trained) -> str:
    """What was reached, for a person."""
    better = ""
    if found := trained.evaluation:
        better = f"; held-out loss {found.base.loss:.3f} -> {found.tuned.loss:.3f} on {found.rows} rows"
    what = "the model lies" if run.tuning.type == "Full" else f"the {run.tuning.type} adapter lies"
    return f"{trained.step} steps trained, {what} at {run.output.uri}{better}"


def _clean(run: config.Run, layout: Layout) -> None:
    """Remove the work in progress. The result is there: that some of it cannot be removed is told, and no failure.

    From the folder above, so that a claim keeps no empty folders.
    """
    work = outcome.work_area(run, layout).reference
    base, _, below = work.uri.rpartition("/.finetune/")
    try:
        storage.open_store(work.beside(base), layout).delete_below(f".finetune/{below}")
    except Exception as error:  # noqa: BLE001 - see above
        _say(f"the work area could not be removed: {error}")


def _memory_kills() -> int:
    """Processes of this pod killed for memory so far; 0 where nobody counts."""
    try:
        counts = dict(line.split() for line in MEMORY_EVENTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counts.get("oom_kill", 0))


def _now() -> str:
    return report.utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the pod's log

"""The loop body: gather -> decide -> act -> one status write -> Events."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from finetune_operator import errors
from finetune_operator.api import status as api_status
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.cluster import api
from finetune_operator.cluster.api import Api
from finetune_operator.errors.reasons import Reason
from finetune_operator.names import Key
from finetune_operator.observe.job import JobSeen
from finetune_operator.observe.job import job as job_of
from finetune_operator.plan.accept import Installed
from finetune_operator.reconcile.actions import Actions, with_children
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.decide import decide
from finetune_operator.reconcile.intake import take
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.reconcile.queue import WorkQueue
from finetune_operator.reconcile.recorder import Recorder
from finetune_operator.reconcile.turns import Turns
from finetune_operator.reconcile.world import CreateJob, Decision, World
from finetune_operator.status import compose
from finetune_operator.status.transitions import Told, transitions

LOG = logging.getLogger(__name__)
AFTER_CONFLICT = 0.05
"""Pause before a decision on an object that has changed is made again (s)."""
ROUNDS = 8
"""Looks and first actions of one pass; a decision asks for each fact once."""


@dataclass(frozen=True)
class Reconciler:
    """One job at a time, from what is known to what is said."""

    cluster: Api
    caches: Caches
    queue: WorkQueue
    metrics: Metrics
    recorder: Recorder
    actions: Actions
    installed: Installed
    clock: Callable[[], float] = time.time
    turns: Turns = field(default_factory=Turns)

    async def work(self, leading: asyncio.Event) -> None:
        """One worker, while we lead."""
        await leading.wait()
        while True:
            key = await self.queue.get()
            self.metrics.depth.set(len(self.queue))
            try:
                await self._one(key)
            finally:
                self.queue.done(key)

    async def _one(self, key: Key) -> None:
        """One pass; whatever goes wrong with this job stays with this job."""
        started = time.perf_counter()
        try:
            await self.reconcile(key)
        except errors.Conflict:
            await self._refresh(key)
            result = "conflict"
        except errors.ApiError as error:
            LOG.warning("api error", extra={"job": str(key), "code": error.code, "error": str(error)})
            self.queue.retry(key, at_least=error.retry_after if error.code in {429, 503} else 0.0)
            result = "api_error"
        except Exception:
            LOG.exception("reconcile failed", extra={"job": str(key)})
            self.queue.retry(key)
            result = "error"
        else:
            self.queue.forget(key)
            result = "ok"
        self.metrics.reconciles.labels(result).inc()
        self.metrics.durations.observe(time.perf_counter() - started)

    async def reconcile(self, key: Key) -> None:
        """Decide until nothing more is to be looked at, act, and say so."""
        job = self.caches.jobs.get(key)
        if job is None:
            return
        self._count(job)
        decision = await self._settle_on(self._world(job))
        if decision.observe is not None:
            await self._patch(job, {"observedGeneration": decision.observe})
        elif decision.status is not None:
            await self._write(job, decision.status)
        if decision.requeue_after is not None:
            self.queue.add_after(key, decision.requeue_after)

    async def _settle_on(self, world: World) -> Decision:
        """The decision that stands, its actions carried out."""
        for _ in range(ROUNDS):
            await self.turns.take()
            decision = decide(world)
            try:
                if decision.look is not None:
                    world = await self.actions.look(world, decision.look)
                    continue
                world = await self._act(world, decision)
            except errors.Denied as error:
                if world.trouble is not None:
                    raise
                world = replace(world, trouble=error)
                continue
            if not decision.again:
                return decision
        raise AssertionError(f"{world.job.key}: no decision after {ROUNDS} rounds, last {decision.rule}")

    async def _act(self, world: World, decision: Decision) -> World:
        """Carry out, and count."""
        if decision.actions or decision.status is not None:
            LOG.info("decided", extra=_line(world.job, decision))
        if not decision.actions:
            return world
        world = await self.actions.act(world, decision.actions)
        if decision.rule == "start-prepare" and world.job.observed_generation < 0:
            self.metrics.first_child.observe(max(0.0, self.clock() - world.job.created))
        return world

    def _world(self, job: JobSeen) -> World:
        """What the caches know of it."""
        now, uid = self.clock(), job.uid
        written = self.caches.progress_written.get(uid)
        world = World(
            job=job,
            now=now,
            installed=self.installed,
            profiles=self.caches.profiles,
            run=self.caches.runs.get(uid),
            progress=self.caches.progress.get(uid),
            progress_due=written is None or now - written >= 0.9 * self.installed.progress_interval,
        )
        return with_children(world, self.caches)

    async def _write(self, job: JobSeen, status: FineTuneJobStatus) -> None:
        """The one write of a pass; Events only when it went through."""
        raw = json.loads(job.status or b"{}")
        before, wire, now = api_status.parse(raw), status.wire(), self.clock()
        await self._patch(job, compose.patch(raw, wire))
        if status.progress != before.progress:
            self.caches.progress_written[job.uid] = now
        self.recorder.tell(job, transitions(before, status), now)
        self.metrics.wrote(before, status)

    async def _patch(self, job: JobSeen, status: dict[str, object]) -> None:
        """Guarded by resourceVersion: a decision made on an old object is made again."""
        body = {"metadata": {"resourceVersion": str(job.version)}, "status": status}
        try:
            raw = await self.cluster.patch_status(api.TUNE_JOBS, job.namespace, job.name, body)
        except errors.Denied as error:
            message = (
                f"the API server refuses this job's status: {error}; ask the cluster's admin whether the CRDs are "
                "those of this operator"
            )
            self.recorder.tell(job, [Told("Warning", Reason.STATUS_REFUSED, message)], self.clock())
            raise
        except errors.NotFound:
            # Deleted meanwhile. Its DELETED event may be over already, and a late page of a list have brought it back since.
            self.caches.drop_job(job.key, job.uid)
            if job.key not in self.caches.jobs:
                self.queue.drop(job.key)
                self.metrics.state(job.key, None)
            return
        self._put(raw)

    def _put(self, raw: dict[str, object]) -> None:
        seen = job_of(raw)
        take(self.caches, self.queue, seen)
        self.metrics.state(seen.key, seen.state)
        self._count(seen)

    def _count(self, job: JobSeen) -> None:
        """What it has spent, for the sums of its namespace."""
        run = self.caches.runs.get(job.uid)  # unknown to a new leader until the job's next turn
        told = [run.pods.currency] if run is not None else []
        told += [profile.currency for profile in self.caches.profiles.values()]
        self.metrics.spent(job, {one for one in told if one is not None})

    async def _refresh(self, key: Key) -> None:
        """Somebody wrote before us: read, and decide again."""
        with contextlib.suppress(errors.ApiError):
            self._put(await self.cluster.get(api.TUNE_JOBS, key.namespace, key.name))
        self.queue.add_after(key, AFTER_CONFLICT)


def _line(job: JobSeen, decision: Decision) -> dict[str, object]:
    """One structured line a decision."""
    made = [
        one.manifest["metadata"]["name"] if isinstance(one, CreateJob) else type(one).__name__
        for one in decision.actions
    ]
    status = decision.status
    ready = next((one for one in (status.conditions if status else None) or () if one.type == "Ready"), None)
    return {
        "job": str(job.key),
        "uid": job.uid,
        "rule": decision.rule,
        "actions": made,
        "state": status.state if status else job.state,
        "reason": ready.reason if ready else "",
        "sentence": ready.message if ready else "",
    }

"""Watch events -> caches -> queue. No I/O: the watches' own workers call this."""

from typing import Any

from finetune_operator.names import Key
from finetune_operator.observe.child import child
from finetune_operator.observe.job import JobSeen, job, profile
from finetune_operator.observe.pod import pod
from finetune_operator.observe.workload import workload
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.reconcile.queue import WorkQueue

DELETED = "DELETED"
HELD = frozenset({"Pending", "Suspended"})
"""States of a job that may still wait for a profile or for another job: one that is suspended is accepted all the same."""
Object = dict[str, Any]


class Intake:
    """Where raw objects end. `kind` is the watch event's: ADDED, MODIFIED, DELETED, or None for a listed object."""

    def __init__(self, caches: Caches, queue: WorkQueue, metrics: Metrics) -> None:
        self._caches, self._queue, self._metrics = caches, queue, metrics

    def job(self, kind: str | None, raw: Object) -> None:
        """A FineTuneJob."""
        seen = job(raw)
        if kind == DELETED:
            self.gone(seen)
            return
        changed = take(self._caches, self._queue, seen)
        self._metrics.state(seen.key, self._caches.jobs[seen.key].state)
        if changed and to_do(seen):
            self._queue.add(seen.key)

    def gone(self, seen: JobSeen) -> None:
        """A FineTuneJob was deleted; its children go by their owner references."""
        self._caches.drop_job(seen.key, seen.uid)
        if seen.key not in self._caches.jobs:
            self.lost(seen.key)

    def lost(self, key: Key) -> None:
        """There is no FineTuneJob of that name any more."""
        if key not in self._caches.jobs:
            self._queue.drop(key)
            self._metrics.state(key, None)

    def profile(self, kind: str | None, raw: Object) -> None:
        """A FineTuneProfile: jobs that are not accepted yet may be waiting for it."""
        seen = profile(raw)
        if kind == DELETED:
            self._caches.drop_profile(seen)
        elif self._caches.put_profile(seen):
            for one in self._caches.jobs.values():
                if one.state in HELD and to_do(one):
                    self._queue.add(one.key)

    def child(self, kind: str | None, raw: Object) -> None:
        """A Job of ours."""
        seen = child(raw)
        if seen is None:
            return
        changed = self._caches.drop_child(seen) if kind == DELETED else self._caches.put_child(seen)
        self._moved(seen.owner_uid, changed=changed)

    def pod(self, kind: str | None, raw: Object) -> None:
        """A pod of ours."""
        seen = pod(raw)
        if seen is None:
            return
        changed = self._caches.drop_pod(seen) if kind == DELETED else self._caches.put_pod(seen)
        self._moved(seen.job_uid, changed=changed)

    def workload(self, kind: str | None, raw: Object) -> None:
        """A Workload of Kueue, for a Job of ours or for anybody's."""
        seen = workload(raw)
        if seen is None:
            return
        caches = self._caches
        changed = caches.drop_workload(seen) if kind == DELETED else caches.put_workload(seen)
        self._moved(seen.job_uid, changed=changed)

    def _moved(self, uid: str, *, changed: bool) -> None:
        key = self._caches.key_of(uid)
        if changed and key is not None:
            self._queue.add(key)


def take(caches: Caches, queue: WorkQueue, seen: JobSeen) -> bool:
    """Put a FineTuneJob into the caches; whether it changed. Where it has come, or has ended, jobs that go on from it are woken."""
    before = caches.jobs.get(seen.key)
    changed = caches.put_job(seen)
    if changed and (before is None or (before.uid, before.settled) != (seen.uid, seen.settled)):
        for one in caches.waiters(seen.key):
            if one.state in HELD:
                queue.add(one.key)
    return changed


def to_do(job: JobSeen) -> bool:
    """Whether a decision about it could change anything."""
    return not job.deleting and not (job.settled and job.observed_generation == job.generation)

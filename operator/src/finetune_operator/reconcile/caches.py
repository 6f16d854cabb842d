"""What the watches have told, slim.

Newer resourceVersions win; responses of our own writes are put here too, so that we read what we wrote.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from finetune_operator.names import Key
from finetune_operator.observe.child import ChildSeen
from finetune_operator.observe.job import JobSeen, ProfileSeen
from finetune_operator.observe.pod import PodSeen
from finetune_operator.observe.words import ProgressSeen
from finetune_operator.observe.workload import WorkloadSeen
from finetune_operator.plan.run_plan import RunPlan

Seen = TypeVar("Seen", ChildSeen, PodSeen, WorkloadSeen)
REMEMBERED = 10_000
"""Deleted objects whose return is refused. A list takes seconds; nobody deletes as many in that time."""


class Caches:
    """Jobs by key; children, pods and Workloads by the uid of their FineTuneJob, then by their own namespace and name.

    An object names its FineTuneJob by a label or an owner reference, and anybody may write those in a namespace of his own. What
    lies in another namespace than the FineTuneJob is nobody's.
    """

    def __init__(self) -> None:
        self.jobs: dict[Key, JobSeen] = {}
        self.profiles: dict[str, ProfileSeen] = {}
        self.children: dict[str, dict[Key, ChildSeen]] = {}
        self.pods: dict[str, dict[Key, PodSeen]] = {}
        self.workloads: dict[str, dict[Key, WorkloadSeen]] = {}
        self.kueue = False
        """Whether `workloads` are all there are."""
        self.runs: dict[str, RunPlan] = {}
        self.progress: dict[str, ProgressSeen] = {}
        self.progress_written: dict[str, float] = {}
        self._keys: dict[str, Key] = {}
        self._waiters: dict[Key, set[Key]] = {}
        self._gone: dict[str, None] = {}
        """uids of children and pods that were deleted, the latest last: a page of a list may still hold one of them."""

    def key_of(self, uid: str) -> Key | None:
        """The FineTuneJob of that uid."""
        return self._keys.get(uid)

    def put_job(self, job: JobSeen) -> bool:
        """Whether something changed that a decision may see."""
        old = self.jobs.get(job.key)
        if old is not None and old.uid == job.uid and old.version >= job.version:
            return False
        if old is not None and old.uid != job.uid:
            if old.version > job.version:
                return False
            self._forget(old.uid)
        self.jobs[job.key] = job
        if job.uid not in self._keys:
            self._keys[job.uid] = job.key
            self._drop_strangers(job)
        if old is not None:
            self._unlink(old)
        self._link(job)
        if job.settled:
            self.settle(job.uid)
        return old != job

    def waiters(self, key: Key) -> tuple[JobSeen, ...]:
        """The FineTuneJobs that go on from `key`, as far as they are not settled."""
        return tuple(self.jobs[one] for one in self._waiters.get(key, ()))

    def _link(self, job: JobSeen) -> None:
        """Keep whom it goes on from."""
        for name in job.goes_on_from:
            self._waiters.setdefault(Key(job.namespace, name), set()).add(job.key)

    def _unlink(self, job: JobSeen) -> None:
        """It waits for nobody any more."""
        for name in job.goes_on_from:
            waiters = self._waiters[Key(job.namespace, name)]
            waiters.discard(job.key)
            if not waiters:
                del self._waiters[Key(job.namespace, name)]

    def drop_job(self, key: Key, uid: str) -> None:
        """The FineTuneJob was deleted."""
        job = self.jobs.get(key)
        if job is not None and job.uid == uid:
            del self.jobs[key]
            self._unlink(job)
        self._forget(uid)

    def settle(self, uid: str) -> None:
        """A job that has ended needs none of this any more."""
        for table in (
            self.children,
            self.pods,
            self.workloads,
            self.runs,
            self.progress,
            self.progress_written,
        ):
            table.pop(uid, None)

    def put_profile(self, profile: ProfileSeen) -> bool:
        """Whether it changed."""
        old = self.profiles.get(profile.name)
        if old is not None and old.version >= profile.version:
            return False
        self.profiles[profile.name] = profile
        return old != profile

    def drop_profile(self, profile: ProfileSeen) -> None:
        """It was deleted. One that was made again under its name since then stays."""
        old = self.profiles.get(profile.name)
        if old is not None and old.version <= profile.version:
            del self.profiles[profile.name]

    def put_child(self, child: ChildSeen) -> bool:
        """Whether something changed that a decision may see."""
        return self._put(self.children, child.owner_uid, child)

    def drop_child(self, child: ChildSeen) -> bool:
        """Whether it was known."""
        self._bury(child.uid)
        return self._drop(self.children, child.owner_uid, child)

    def put_pod(self, pod: PodSeen) -> bool:
        """Whether something changed that a decision may see."""
        return self._put(self.pods, pod.job_uid, pod)

    def drop_pod(self, pod: PodSeen) -> bool:
        """Whether something changed. One that has ended is kept until its Job tells so too: only its last word says how."""
        if self._awaited(pod):
            return self.put_pod(pod)
        self._bury(pod.uid)
        return self._drop(self.pods, pod.job_uid, pod)

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def put_workload(self, workload: WorkloadSeen) -> bool:
        """Whether something changed that a decision may see."""
        return self._put(self.workloads, workload.job_uid, workload)

    def no_kueue(self) -> None:
        """There is no Kueue, or none any more."""
        self.workloads.clear()
        self.kueue = False

    def drop_workload(self, workload: WorkloadSeen) -> bool:
        """Whether it was known."""
        self._bury(workload.uid)
        return self._drop(self.workloads, workload.job_uid, workload)

    def _awaited(self, one: ChildSeen | PodSeen | WorkloadSeen) -> bool:
        """Whether it is a pod that has ended, of a Job that is still there."""
        if not isinstance(one, PodSeen) or not one.ended:
            return False
        return any(child.uid == one.child_uid for child in self.children.get(one.job_uid, {}).values())

    def _put(self, table: dict[str, dict[Key, Seen]], uid: str, one: Seen) -> bool:
        if one.uid in self._gone:
            return False
        key = self._keys.get(uid)
        if key is not None and key.namespace != one.namespace:
            return False
        job = self.jobs.get(key) if key is not None else None
        if job is not None and job.settled:
            return False
        mine, place = table.setdefault(uid, {}), Key(one.namespace, one.name)
        old = mine.get(place)
        if old is not None and old.version >= one.version:
            return False
        mine[place] = one
        return old != one

    def _drop_strangers(self, job: JobSeen) -> None:
        """What was told of before its FineTuneJob could not be checked then."""
        self._keep_near(self.children, job)
        self._keep_near(self.pods, job)
        self._keep_near(self.workloads, job)

    def _keep_near(self, table: dict[str, dict[Key, Seen]], job: JobSeen) -> None:
        for one in list(table.get(job.uid, {}).values()):
            if one.namespace != job.namespace:
                self._drop(table, job.uid, one)

    def _drop(self, table: dict[str, dict[Key, Seen]], uid: str, one: Seen) -> bool:
        mine, place = table.get(uid, {}), Key(one.namespace, one.name)
        old = mine.get(place)
        if old is None or old.uid != one.uid:
            return False
        del mine[place]
        if not mine:
            del table[uid]
        return True

    def replace_of(
        self, uid: str, children: Iterable[ChildSeen], pods: Iterable[PodSeen], *, version: int
    ) -> None:
        """What a list of one job's children brought."""
        self._replace(self.children, uid, list(children), version)
        self._replace(self.pods, uid, list(pods), version)

    def _replace(self, table: dict[str, dict[Key, Seen]], uid: str, listed: list[Seen], version: int) -> None:
        """Everything listed, and nothing older that is not: an object newer than the list may not be on it."""
        for one in listed:
            self._put(table, uid, one)
        there = {one.uid for one in listed}
        for one in list(table.get(uid, {}).values()):
            if one.uid not in there and one.version <= version and not self._awaited(one):
                self._drop(table, uid, one)

    def prune(self, kind: str, uids: set[str], version: int, dropped: Callable[[Key], None]) -> None:
        """Forget what a full list at `version` did not show: a watch may have missed its deletion."""
        if kind == "jobs":
            for job in [one for one in self.jobs.values() if one.uid not in uids and one.version <= version]:
                self.drop_job(job.key, job.uid)
                dropped(job.key)
        elif kind == "profiles":
            gone = [one for one in self.profiles.values() if one.uid not in uids and one.version <= version]
            for profile in gone:
                self.drop_profile(profile)
        elif kind == "children":
            self._prune(self.children, uids, version, dropped)
        elif kind == "pods":
            self._prune(self.pods, uids, version, dropped)
        elif kind == "workloads":
            self._prune(self.workloads, uids, version, dropped)

    def _prune(
        self, table: dict[str, dict[Key, Seen]], uids: set[str], version: int, dropped: Callable[[Key], None]
    ) -> None:
        for uid, mine in list(table.items()):
            gone = [one for one in mine.values() if one.uid not in uids and one.version <= version]
            for one in [one for one in gone if not self._awaited(one)]:
                self._drop(table, uid, one)
                key = self._keys.get(uid)
                if key is not None:
                    dropped(key)

    def _forget(self, uid: str) -> None:
        self._keys.pop(uid, None)
        self.settle(uid)

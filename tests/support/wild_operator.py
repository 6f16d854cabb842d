"""The operator's own loop, caches, intake and lists over a WildCluster: no wire, no threads, no clock of its own.

What a watch has told, and what the API server answers, are the test's to choose.
"""

import asyncio
import logging
from collections import deque

import life_table
from fake_api_server import Refusal, _selector, copied
from finetune_operator import errors
from finetune_operator.cluster.api import Page
from finetune_operator.observe.times import instant
from finetune_operator.reconcile import loop
from finetune_operator.reconcile.actions import Actions
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.intake import Intake
from finetune_operator.reconcile.kueue import Kueue
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.reconcile.recorder import Recorder
from finetune_operator.reconcile.sync import Sync
from simulation import INSTALLED

WATCHED = {"finetunejobs": "job", "finetuneprofiles": "profile", "jobs": "child", "pods": "pod"}
LOOP = asyncio.new_event_loop()


class Killed(BaseException):
    """The process is gone, whatever it was about to do."""


class DirectApi:
    """`cluster.api.Api` without a wire. `fates`: what becomes of the next requests."""

    def __init__(self, server):
        self.server, self.fates, self.writes = server, deque(), 0

    def _serve(self, act, *, writes=True):
        fate = self.fates.popleft() if self.fates else "well"
        if fate == "killed before":
            raise Killed
        if fate == "not reached":
            raise errors.Unavailable("connection refused")
        if fate == "denied" and writes:
            raise errors.Denied("admission says no", code=403)
        self.writes += writes
        try:
            answer = act()
        except Refusal as refusal:
            raise TRANSLATED[refusal.reason](str(refusal), code=refusal.code) from refusal
        if fate == "killed after":
            raise Killed
        if fate == "answer lost":
            raise errors.Unavailable("time-out")
        return copied(answer)

    async def get(self, resource, namespace, name):
        return self._serve(lambda: self.server._found(resource.plural, (namespace, name)), writes=False)

    async def list(self, resource, *, labels="", fields="", **_):
        if resource.group in self.server.absent:
            raise errors.NotFound("404 page not found")
        matches = _selector({"labelSelector": labels, "fieldSelector": fields})
        found = self._serve(
            lambda: [one for one in self.server.all(resource.plural) if matches(one)], writes=False
        )
        half = len(found) // 2
        yield Page(found[:half], self.server.version)
        yield Page(found[half:], self.server.version)

    async def create(self, resource, namespace, body):
        return self._serve(
            lambda: self.server._create(resource.plural, namespace, copied(body), manager="us")
        )

    async def patch(self, resource, namespace, name, body):
        return self._serve(lambda: self.server._patch(resource.plural, (namespace, name), None, body))

    async def patch_status(self, resource, namespace, name, body):
        wrong = [one for one in _times(body) if instant(one) is None]
        if wrong:
            raise errors.Denied(f"status: {wrong[0]!r} must be of type date-time", code=422)
        return self._serve(lambda: self.server._patch(resource.plural, (namespace, name), "status", body))

    async def delete(self, resource, namespace, name, *, uid):
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            self._serve(lambda: self.server._delete(resource.plural, (namespace, name), options))
        except (errors.NotFound, errors.Conflict):
            return


TRANSLATED = {
    "NotFound": errors.NotFound,
    "AlreadyExists": errors.AlreadyExists,
    "Conflict": errors.Conflict,
}


def _times(value, name=""):
    """Every field that the CRD holds to be a date-time."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _times(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _times(inner, name)
    elif isinstance(value, str) and (name in {"time", "updatedAt"} or name.endswith("Time")):
        yield value


class Timetable:
    """A WorkQueue whose clock is the cluster's."""

    def __init__(self, cluster):
        self._cluster, self.due = cluster, {}

    def __len__(self):
        return len(self.due)

    def add(self, key):
        self.due[key] = self._cluster.now

    def add_after(self, key, delay):
        at = self._cluster.now + delay
        self.due[key] = min(at, self.due.get(key, at))

    def retry(self, key, *, at_least=0.0):
        self.add_after(key, max(1.0, at_least))

    def forget(self, key):
        pass

    def drop(self, key):
        self.due.pop(key, None)


class WildOperator:
    """One life of the operator's process."""

    def __init__(self, cluster):
        self.cluster, self.api = cluster, DirectApi(cluster)
        self.caches, self.queue = Caches(), Timetable(cluster)
        metrics = Metrics("test")
        self.intake = Intake(self.caches, self.queue, metrics)
        kueue = Kueue(self.api, ())
        self.sync = Sync(self.api, self.caches, self.intake, self.queue, kueue=kueue, namespaces=())
        self.reconciler = loop.Reconciler(
            self.api,
            self.caches,
            self.queue,
            metrics,
            Recorder(self.api, "test"),
            Actions(self.api, self.caches),
            INSTALLED,
            clock=lambda: cluster.now,
        )
        self.told = {plural: len(cluster.history[plural]) for plural in WATCHED}
        """How much of its watch each kind has brought."""
        self.since = dict(self.told)
        """Where the watches began: of what was before nobody tells this process again."""
        self.lists()

    def lists(self):
        """A full list, as at the start and every few minutes."""
        LOOP.run_until_complete(self.sync._list_all())
        self.sync.enqueue()

    def behind(self):
        """Kinds whose watch has not told everything."""
        return [plural for plural, told in self.told.items() if told < len(self.cluster.history[plural])]

    def hears(self, plural, most=1000):
        """The watch of a kind tells what happened next."""
        for _, event, raw in list(self.cluster.history[plural])[self.told[plural] :][:most]:
            self.told[plural] += 1
            self._take(plural, event, raw)

    def hears_again(self, plural, back):
        """An old event once more."""
        told = list(self.cluster.history[plural])[self.since[plural] : self.told[plural]]
        for _, event, raw in told[-back:][:1]:
            self._take(plural, event, raw)

    def relists(self, plural):
        """The watch has expired: what is there now is told, what was deleted meanwhile is not."""
        self.told[plural] = len(self.cluster.history[plural])
        for raw in self.cluster.all(plural):
            self._take(plural, None, raw)

    def _take(self, plural, event, raw):
        getattr(self.intake, WATCHED[plural])(event, copied(raw))

    def works(self):
        """Every key that is due, once. Whether there was one."""
        due = [key for key, at in self.queue.due.items() if at <= self.cluster.now]
        for key in due:
            del self.queue.due[key]
            LOUD.error = None
            LOOP.run_until_complete(self.reconciler._one(key))
            if LOUD.error is not None:
                raise LOUD.error
        return bool(due)


def watched_decide(real, seen):
    """`decide` that is held to its table, and remembered."""

    def decide(world):
        decision = real(world)
        life_table.hold(decision)
        seen.append((world.job.state, decision))
        return decision

    return decide


class Loud(logging.Handler):
    """The loop keeps an error of its own to one job and goes on; here it must not."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.error = None

    def emit(self, record):
        self.error = record.exc_info[1] if record.exc_info else None


LOUD = Loud()
loop.LOG.addHandler(LOUD)
loop.LOG.propagate = False

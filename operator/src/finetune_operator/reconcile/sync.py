"""Full lists: before the first decision, on taking the lead, and every few minutes.

The first one is the barrier without which jobs seem to have no children yet. The later ones find what a watch has missed, and drop
what was deleted while a watch was down.
"""

import asyncio
import logging
from collections.abc import Callable

from finetune_operator import errors, names
from finetune_operator.cluster import api
from finetune_operator.cluster.api import Api, Object, Resource
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.intake import Intake, to_do
from finetune_operator.reconcile.kueue import Kueue
from finetune_operator.reconcile.queue import WorkQueue

LOG = logging.getLogger(__name__)
RETRY = 0.5
"""Shortest pause between two tries of the first list (s)."""


class Sync:
    """Lists into caches."""

    def __init__(
        self,
        cluster: Api,
        caches: Caches,
        intake: Intake,
        queue: WorkQueue,
        *,
        kueue: Kueue,
        namespaces: tuple[str, ...],
    ) -> None:
        self._api, self._caches, self._intake, self._queue = cluster, caches, intake, queue
        self._kueue = kueue
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self.listed_at: float | None = None
        """When the last full list ended (loop time)."""

    async def prime(self) -> None:
        """One full list, however long the API server takes."""
        while True:
            try:
                await self._list_all()
            except errors.ApiError as error:
                LOG.warning("list failed", extra={"error": str(error)})
                await asyncio.sleep(max(RETRY, error.retry_after or 0.0))
            else:
                self.listed_at = asyncio.get_running_loop().time()
                return

    async def forever(self, interval: float) -> None:
        """List and look at every unsettled job again, spread over a tenth of the interval."""
        while True:
            await asyncio.sleep(interval)
            await self.prime()
            self.enqueue(spread=interval / 10)

    def enqueue(self, *, spread: float = 0.0) -> None:
        """Every job that is not settled."""
        open_ones = [job.key for job in self._caches.jobs.values() if to_do(job)]
        for at, key in enumerate(open_ones):
            if spread:
                self._queue.add_after(key, spread * at / len(open_ones))
            else:
                self._queue.add(key)

    async def _list_all(self) -> None:
        await self._prune("profiles", api.PROFILES, self._intake.profile, everywhere=True)
        await self._prune("jobs", api.TUNE_JOBS, self._intake.job)
        await self._prune("children", api.JOBS, self._intake.child, labels=names.OURS)
        await self._prune("pods", api.PODS, self._intake.pod, labels=names.OURS)
        await self._workloads()

    async def _workloads(self) -> None:
        """Kueue's, where there is one."""
        await self._kueue.ask()
        workloads = self._kueue.workloads
        if workloads is None:
            self._caches.no_kueue()
            return
        await self._prune("workloads", workloads, self._intake.workload)
        self._caches.kueue = True

    async def _prune(
        self,
        kind: str,
        resource: Resource,
        take: Callable[[None, Object], None],
        *,
        labels: str = "",
        everywhere: bool = False,
    ) -> None:
        """List one kind, and forget what is not there."""
        uids, version = await self._list(resource, take, labels=labels, everywhere=everywhere)
        self._caches.prune(kind, uids, version, self._intake.lost if kind == "jobs" else self._queue.add)

    async def _list(
        self,
        resource: Resource,
        take: Callable[[None, Object], None],
        *,
        labels: str = "",
        everywhere: bool = False,
    ) -> tuple[set[str], int]:
        """Every object taken in; their uids, and the version that the list is sure about."""
        uids: set[str] = set()
        versions = []
        for namespace in (None,) if everywhere else self._namespaces:
            async for page in self._api.list(resource, namespace=namespace, labels=labels):
                versions.append(page.version)
                for raw in page.items:
                    uids.add(raw["metadata"]["uid"])
                    take(None, raw)
                await asyncio.sleep(0)  # lets workers and probes in between pages
        return uids, min(versions, default=0)

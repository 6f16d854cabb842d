"""Asks running pods how far they are, beside the loop: a pod that does not answer delays nothing."""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from finetune_operator.observe.pod import PodSeen
from finetune_operator.observe.words import ProgressSeen
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.live_rules import PROGRESS_FAILURES
from finetune_operator.reconcile.queue import WorkQueue

TICK = 1.0


class Asks(Protocol):
    """Whoever fetches a progress document."""

    async def progress(self, address: str) -> dict[str, object] | None:
        """The document, or None."""


class Poller:
    """One question per pod and interval."""

    def __init__(self, client: Asks, caches: Caches, queue: WorkQueue, interval: float) -> None:
        self._client, self._caches, self._queue, self._interval = client, caches, queue, interval
        self._due: dict[str, float] = {}

    async def forever(self, leading: asyncio.Event) -> None:
        """While we lead."""
        await leading.wait()
        while True:
            now = asyncio.get_running_loop().time()
            pods = [pod for pod in self._running() if self._due.get(pod.uid, 0.0) <= now]
            alive = {pod.uid for pod in self._running()}
            self._due = {uid: due for uid, due in self._due.items() if uid in alive}
            self._due |= {pod.uid: now + self._interval for pod in pods}
            await asyncio.gather(*(self._ask(pod) for pod in pods))
            await asyncio.sleep(min(TICK, self._interval))

    def _running(self) -> Iterator[PodSeen]:
        """Training pods of rank 0 that run, and belong to a Job that belongs to a FineTuneJob."""
        for uid, pods in self._caches.pods.items():
            if self._caches.key_of(uid) is None:
                continue  # until the FineTuneJob is known, nobody has checked that these lie in its namespace
            ours = {child.uid for child in self._caches.children.get(uid, {}).values()}
            for pod in pods.values():
                if (
                    pod.running
                    and pod.stage == "Train"
                    and pod.index == 0
                    and pod.ip
                    and pod.child_uid in ours
                    and not pod.deleting
                ):
                    yield pod

    async def _ask(self, pod: PodSeen) -> None:
        """Keep what it says, and wake the loop if it is news."""
        document = await self._client.progress(pod.ip)
        if pod.job_uid not in self._caches.pods:
            return  # settled meanwhile
        old = self._caches.progress.get(pod.job_uid)
        failures = 0 if document is not None else (old.failures if old and old.pod == pod.uid else 0) + 1
        if document is None and old is not None and old.pod == pod.uid:
            document = old.document
        seen = ProgressSeen(pod.uid, document, failures)
        self._caches.progress[pod.job_uid] = seen
        key = self._caches.key_of(pod.job_uid)
        if key is not None and (
            old is None or seen.document != old.document or _crossed(old.failures, failures)
        ):
            self._queue.add(key)


def _crossed(before: int, after: int) -> bool:
    """Whether the pod has just become, or ceased to be, one that does not answer."""
    return (before >= PROGRESS_FAILURES) != (after >= PROGRESS_FAILURES)

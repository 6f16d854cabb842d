"""Kubernetes Events, in the background: they tell a person, and nothing depends on them."""

import asyncio
import contextlib
import logging
import time
from typing import Any

from finetune_operator import errors, names
from finetune_operator.cluster import api
from finetune_operator.cluster.api import Api
from finetune_operator.cluster.limiter import TokenBucket
from finetune_operator.observe import times
from finetune_operator.observe.job import JobSeen
from finetune_operator.status.transitions import Told

LOG = logging.getLogger(__name__)
SENDERS = 8
RATE, BURST = 20.0, 50
"""Events a second, and at once. When a thousand jobs come together their work goes first, and their Events follow; each says when
it was."""
MOST = 1250
"""Events that wait for each sender; more are dropped, since the status holds the truth."""


class Recorder:
    """Sends Events: those of one job one after the other, those of different jobs side by side."""

    def __init__(self, cluster: Api, identity: str, *, rate: float = RATE, burst: int = BURST) -> None:
        self._api, self._identity = cluster, identity
        self._limiter = TokenBucket(rate, burst)
        self._waiting: list[asyncio.Queue[tuple[str, dict[str, Any]]]] = [
            asyncio.Queue(MOST) for _ in range(SENDERS)
        ]

    def tell(self, job: JobSeen, told: list[Told], now: float) -> None:
        """Events about `job`."""
        waiting = self._waiting[hash(job.uid) % SENDERS]
        for one in told:
            with contextlib.suppress(asyncio.QueueFull):
                waiting.put_nowait((job.namespace, self._event(job, one, now)))

    async def forever(self) -> None:
        """Send them."""
        async with asyncio.TaskGroup() as senders:
            for waiting in self._waiting:
                senders.create_task(self._send(waiting))

    async def _send(self, waiting: asyncio.Queue[tuple[str, dict[str, Any]]]) -> None:
        while True:
            namespace, body = await waiting.get()
            await self._limiter.take()
            try:
                await self._api.create(api.EVENTS, namespace, body)
            except errors.ApiError as error:
                LOG.debug("event not sent", extra={"error": str(error)})

    def _event(self, job: JobSeen, told: Told, now: float) -> dict[str, Any]:
        """core/v1 Event."""
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{job.name}.{time.time_ns():x}", "namespace": job.namespace},
            "involvedObject": {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "namespace": job.namespace,
                "name": job.name,
                "uid": job.uid,
            },
            "type": told.kind,
            "reason": told.reason,
            "message": told.message,
            "source": {"component": names.MANAGER},
            "reportingComponent": names.MANAGER,
            "reportingInstance": self._identity,
            "firstTimestamp": times.stamp(now),
            "lastTimestamp": times.stamp(now),
            "count": 1,
        }

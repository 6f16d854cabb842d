"""Leader election by a Lease: one operator works, the others keep their caches warm.

The leader gives up before anybody may take over: every attempt to renew ends within the renew deadline, on the monotonic clock, and
that is shorter than the lease. Others count from when they saw the record change, so that clocks need not agree.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from finetune_operator import errors
from finetune_operator.cluster import api
from finetune_operator.cluster.api import Api
from finetune_operator.observe import times
from finetune_operator.settings import Settings

LOG = logging.getLogger(__name__)
RELEASE_WITHIN = 2.0


class Elector:
    """Holds the Lease, or waits for it."""

    def __init__(self, cluster: Api, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._api, self._clock = cluster, clock
        self._name, self._namespace, self._identity = (
            settings.lease_name,
            settings.lease_namespace,
            settings.identity,
        )
        self._duration, self._deadline, self._period = (
            settings.lease_duration,
            settings.renew_deadline,
            settings.retry_period,
        )
        self._seen: tuple[str, float] = ("", 0.0)
        self._held: dict[str, Any] | None = None

    async def acquired(self) -> None:
        """Return when the Lease is ours."""
        told = ""
        while True:
            trouble = ""
            try:
                async with asyncio.timeout(self._deadline):
                    if await self._try():
                        LOG.info("leading", extra={"identity": self._identity})
                        return
            except errors.ApiError as error:
                trouble = str(error)
            except TimeoutError:
                trouble = f"no answer within {self._deadline:g} s"
            if trouble and trouble != told:  # every few seconds the same line would drown all others
                LOG.warning("lease not acquired", extra={"error": trouble})
            told = trouble
            await asyncio.sleep(self._period)

    async def lost(self) -> None:
        """Return when the Lease can no longer be taken for ours."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while loop.time() - renewed < self._deadline:
            await asyncio.sleep(self._period)
            try:
                async with asyncio.timeout(self._deadline - (loop.time() - renewed)):
                    started = loop.time()
                    if not await self._try():
                        break
                    renewed = started
            except errors.ApiError as error:
                LOG.warning("lease not renewed", extra={"error": str(error)})
            except TimeoutError:
                break
        self._held = None
        LOG.error("lost the lease", extra={"identity": self._identity})

    async def release(self) -> None:
        """Let another one lead at once."""
        if self._held is None:
            return
        body = self._record(self._held, holder="")
        self._held = None
        with contextlib.suppress(errors.ApiError, TimeoutError):
            async with asyncio.timeout(RELEASE_WITHIN):
                await self._api.replace(api.LEASES, self._namespace, self._name, body)

    async def _try(self) -> bool:
        """Take or renew the Lease, if it is free, ours, or has not moved for its duration."""
        if self._held is not None:
            try:
                return await self._put(self._held)
            except errors.Conflict:
                self._held = None
        try:
            lease = await self._api.get(api.LEASES, self._namespace, self._name)
        except errors.NotFound:
            self._held = await self._api.create(
                api.LEASES, self._namespace, self._record({}, holder=self._identity)
            )
            return True
        if self._taken(lease):
            return False
        with contextlib.suppress(errors.Conflict):
            return await self._put(lease)
        return False

    async def _put(self, lease: dict[str, Any]) -> bool:
        self._held = await self._api.replace(
            api.LEASES, self._namespace, self._name, self._record(lease, holder=self._identity)
        )
        return True

    def _taken(self, lease: dict[str, Any]) -> bool:
        """Whether another one holds it, and has renewed it of late."""
        spec, now = lease.get("spec") or {}, asyncio.get_running_loop().time()
        version = lease["metadata"].get("resourceVersion", "")
        if version != self._seen[0]:
            self._seen = (version, now)
        holder = spec.get("holderIdentity") or ""
        duration = spec.get("leaseDurationSeconds") or self._duration
        return holder not in {"", self._identity} and now - self._seen[1] < duration

    def _record(self, lease: dict[str, Any], *, holder: str) -> dict[str, Any]:
        """The Lease to write."""
        old = lease.get("spec") or {}
        now = times.micro_stamp(self._clock())
        changed = old.get("holderIdentity") != holder
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                **({"resourceVersion": lease["metadata"]["resourceVersion"]} if lease else {}),
            },
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": self._duration if holder else 1,
                "acquireTime": now if changed else old.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": int(old.get("leaseTransitions") or 0) + (1 if changed and holder else 0),
            },
        }

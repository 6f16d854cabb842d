"""Whether the cluster has Kueue. It may be installed, or removed, while we run; nobody must restart us for that."""

import asyncio
import logging

from finetune_operator import errors
from finetune_operator.cluster import api
from finetune_operator.cluster.api import Api, Resource

LOG = logging.getLogger(__name__)
INTERVAL = 30.0
"""Time between two questions (s)."""
NOBODY = "metadata.name=finetune-operator"
"""A list of nothing: it costs the API server nothing, and tells what a real one would."""


class Kueue:
    """`workloads` is what to watch; None where there is no Kueue, or we may not read its Workloads."""

    def __init__(self, cluster: Api, namespaces: tuple[str, ...]) -> None:
        self._api = cluster
        self._namespace = namespaces[0] if namespaces else None
        self.workloads: Resource | None = None
        self.changed = asyncio.Event()
        """Set when `workloads` has become another."""

    async def forever(self, interval: float = INTERVAL) -> None:
        """Ask again and again."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.ask()
            except errors.ApiError as error:
                LOG.debug("kueue", extra={"error": str(error)})

    async def ask(self) -> None:
        """Is it there? ApiError where the API server does not answer."""
        found = await self._find()
        if found != self.workloads:
            LOG.info("kueue", extra={"workloads": found.version if found is not None else "none"})
            self.workloads = found
            self.changed.set()

    async def _find(self) -> Resource | None:
        for one in api.WORKLOADS:
            try:
                async for _ in self._api.list(one, namespace=self._namespace, fields=NOBODY):
                    return one
            except (errors.NotFound, errors.Denied):
                continue  # who may not ask gets 403, whether there is something or not
        return None

"""Warning Events, which tell why a pod does not start: listed once for all jobs of a namespace that ask at about the same time.

The API server has no index of Events: asking for those of one pod costs it as much as asking for a namespace's.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from finetune_operator.cluster import api
from finetune_operator.cluster.api import Api
from finetune_operator.observe.pod import EventSeen, event

FRESH = 2.0
"""A list is good for so long, if it took no time (s)."""
SHARE = 0.05
"""Most of the time that may be spent on listing a namespace: one that takes a second is good for twenty."""


@dataclass
class _Listed:
    """One namespace."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    until: float = float("-inf")
    events: Mapping[str, tuple[EventSeen, ...]] = field(default_factory=dict)
    """By what they are about."""


class Warnings:
    """What went wrong lately."""

    def __init__(self, cluster: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = cluster, clock
        self._namespaces: dict[str, _Listed] = {}

    async def about(self, namespace: str, uids: Collection[str]) -> tuple[EventSeen, ...]:
        """Warnings about these objects."""
        listed = self._namespaces.setdefault(namespace, _Listed())
        async with listed.turn:
            if self._clock() >= listed.until:
                await self._list(namespace, listed)
        return tuple(one for uid in uids for one in listed.events.get(uid, ()))

    async def _list(self, namespace: str, listed: _Listed) -> None:
        began = self._clock()
        found: dict[str, tuple[EventSeen, ...]] = {}
        async for page in self._api.list(api.EVENTS, namespace=namespace, fields="type=Warning"):
            for one in map(event, page.items):
                found[one.about] = (*found.get(one.about, ()), one)
        now = self._clock()
        listed.events, listed.until = found, now + max(FRESH, (now - began) / SHARE)
        for name in [name for name, one in self._namespaces.items() if one.until <= now]:
            if not self._namespaces[name].turn.locked():
                del self._namespaces[name]

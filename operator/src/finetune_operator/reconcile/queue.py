"""A keyed work queue with client-go's semantics, fair between namespaces.

A key that is added while it waits is folded; one that is added while it is worked on is worked on once more afterwards; two workers
never hold the same key. Namespaces take turns, so that a tenant's thousand jobs delay another tenant's first by one turn.
"""

import asyncio
import math
import random
from collections import Counter, OrderedDict, deque

from finetune_operator.names import Key

BASE = 0.2
CAP = 60.0


class WorkQueue:
    """Keys to reconcile."""

    def __init__(self, *, base: float = BASE, cap: float = CAP) -> None:
        self._base, self._cap = base, cap
        self._turns: OrderedDict[str, deque[Key]] = OrderedDict()
        self._waiting: set[Key] = set()
        self._busy: set[Key] = set()
        self._failures: Counter[Key] = Counter()
        self._timers: dict[Key, tuple[float, asyncio.Handle]] = {}
        self._filled = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Work on `key` soon."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._busy:
            self._push(key)

    def add_after(self, key: Key, delay: float) -> None:
        """Work on `key` in `delay` seconds; of several timers the earliest counts."""
        loop = asyncio.get_running_loop()
        due, timer = self._timers.get(key, (math.inf, None))
        if due <= loop.time() + delay:
            return
        if timer is not None:
            timer.cancel()
        delay = max(0.0, delay)
        # The moment is kept here: uvloop's handle of a delay below a millisecond does not know it.
        self._timers[key] = loop.time() + delay, loop.call_later(delay, self._due, key)

    def retry(self, key: Key, *, at_least: float = 0.0) -> None:
        """Work on `key` again, later each time it fails."""
        self._failures[key] += 1
        doubled = min(self._cap, self._base * 2 ** min(self._failures[key] - 1, 16))
        self.add_after(key, max(at_least, doubled) * random.uniform(0.75, 1.5))  # noqa: S311  spreads retries, guards nothing

    def forget(self, key: Key) -> None:
        """`key` went well."""
        self._failures.pop(key, None)

    def drop(self, key: Key) -> None:
        """`key` is no more."""
        self.forget(key)
        _, timer = self._timers.pop(key, (0.0, None))
        if timer is not None:
            timer.cancel()

    async def get(self) -> Key:
        """The next key; `done` must follow."""
        while not self._turns or self._closed:
            self._filled.clear()
            await self._filled.wait()
        namespace, keys = self._turns.popitem(last=False)
        key = keys.popleft()
        if keys:
            self._turns[namespace] = keys
        self._waiting.discard(key)
        self._busy.add(key)
        return key

    def close(self) -> None:
        """Give out no more keys; we are about to end."""
        self._closed = True

    def done(self, key: Key) -> None:
        """The worker has let go of `key`."""
        self._busy.discard(key)
        if key in self._waiting:
            self._push(key)

    @property
    def busy(self) -> int:
        """Keys that are being worked on."""
        return len(self._busy)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _push(self, key: Key) -> None:
        self._turns.setdefault(key.namespace, deque()).append(key)
        self._filled.set()

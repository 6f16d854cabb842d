"""The assembly: caches primed, watches on, workers at work while we lead, and a graceful end."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from finetune_operator.cluster.access import Access, Configuration, access
from finetune_operator.cluster.client import KubernetesApi
from finetune_operator.cluster.limiter import TokenBucket
from finetune_operator.cluster.progress import ProgressClient
from finetune_operator.handlers import http, watch
from finetune_operator.names import PROGRESS_PORT
from finetune_operator.plan.accept import Installed
from finetune_operator.reconcile.actions import Actions
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.elector import Elector
from finetune_operator.reconcile.intake import Intake
from finetune_operator.reconcile.kueue import Kueue
from finetune_operator.reconcile.loop import Reconciler
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.reconcile.poller import Poller
from finetune_operator.reconcile.queue import WorkQueue
from finetune_operator.reconcile.recorder import Recorder
from finetune_operator.reconcile.sync import Sync
from finetune_operator.settings import Settings

LOG = logging.getLogger(__name__)
DRAIN = 10.0
"""Longest wait for the passes that are under way when we stop (s)."""
SHORT_LIVED = 60.0
TOO_OFTEN = 5
"""Watches that ended so soon (s), so often in a row, end the process."""
STALE = 4
"""Resync intervals without a full list after which we call ourselves unhealthy."""


@dataclass(eq=False)
class Operator:
    """All parts of one running operator."""

    settings: Settings
    configuration: Configuration
    version: str
    progress_port: int = PROGRESS_PORT
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    leading: asyncio.Event = field(default_factory=asyncio.Event)
    primed: asyncio.Event = field(default_factory=asyncio.Event)
    http_port: int = 0

    def __post_init__(self) -> None:
        """Wire the parts; nothing runs yet."""
        settings = self.settings
        self.caches = Caches()
        self.queue = WorkQueue()
        self.metrics = Metrics(self.version)
        limiter = TokenBucket(settings.api_rate, settings.api_burst)
        self.cluster = KubernetesApi(
            self.configuration, limiter=limiter, timeout=settings.api_timeout, observer=self.metrics.request
        )
        self.intake = Intake(self.caches, self.queue, self.metrics)
        self.kueue = Kueue(self.cluster, settings.namespaces)
        self.sync = Sync(
            self.cluster,
            self.caches,
            self.intake,
            self.queue,
            kueue=self.kueue,
            namespaces=settings.namespaces,
        )
        self.recorder = Recorder(self.cluster, settings.identity)
        self.elector = Elector(self.cluster, settings)
        self.progress = ProgressClient(port=self.progress_port)
        self.poller = Poller(self.progress, self.caches, self.queue, settings.progress_interval)
        actions = Actions(self.cluster, self.caches)
        self.reconciler = Reconciler(
            self.cluster, self.caches, self.queue, self.metrics, self.recorder, actions, installed(settings)
        )

    async def run(self) -> bool:
        """Serve until `stop`, or until something ends that must not; whether it was a graceful end."""
        pages = await http.pages(
            self.settings.http_port, self.metrics, healthy=self._unhealthy, ready=self._unready
        )
        self.http_port = pages.addresses[0][1]
        try:
            return await self._serve()
        finally:
            await self._close(pages)

    async def _serve(self) -> bool:
        """Start everything, wait, end everything."""
        stopped: asyncio.Task[Any] = asyncio.create_task(self.stop.wait(), name="stop")
        background = self._spawn(
            self.sync.forever(self.settings.resync_interval),
            self.poller.forever(self.leading),
            self.recorder.forever(),
            self.kueue.forever(),
            self._lead(),
        )
        workers = self._spawn(*(self.reconciler.work(self.leading) for _ in range(self.settings.workers)))
        prime = asyncio.create_task(self._prime(), name="prime")
        ours: list[asyncio.Task[Any]] = [stopped, prime, *background, *workers]
        try:
            await asyncio.wait({prime, stopped, *background}, return_when=asyncio.FIRST_COMPLETED)
            watches = asyncio.create_task(self._watch(), name="watches")
            ours.append(watches)
            await asyncio.wait({stopped, watches, *background, *workers}, return_when=asyncio.FIRST_COMPLETED)
            graceful = self.stop.is_set()
            _tell(ours)
            if graceful:
                await self._drain()  # while the lease is still renewed; whoever has lost it stops at once
        finally:
            await _cancelled(ours)
        await self.elector.release()
        return graceful

    def _spawn(self, *work: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(one) for one in work]

    async def _prime(self) -> None:
        await self.sync.prime()
        self.primed.set()

    async def _lead(self) -> None:
        """Ends when the lead is lost; others may lead from then on, so the process ends, too."""
        await self.primed.wait()
        if not self.settings.leader_election:
            self._begin()
            await asyncio.Event().wait()
        await self.elector.acquired()
        lost = asyncio.create_task(self.elector.lost(), name="lost")
        prime = asyncio.create_task(self.sync.prime(), name="prime again")
        try:
            # The last leader's writes may not have come by watch yet. A list can outlast the lease, so that is renewed meanwhile.
            await asyncio.wait({lost, prime}, return_when=asyncio.FIRST_COMPLETED)
            if not lost.done():
                await prime
                self._begin()
            await lost
        finally:
            await _cancelled([lost, prime])

    def _begin(self) -> None:
        """Let the workers work."""
        self.sync.enqueue()
        self.leading.set()
        self.metrics.leading.set(1)

    async def _watch(self) -> None:
        """Run kopf, and run it again when it gives up: an expired watch or one odd event is no reason to end the process."""
        loop = asyncio.get_running_loop()
        short_lived = 0
        while not self.stop.is_set():
            started = loop.time()
            try:
                if not await self._watch_once():
                    self.stop.set()  # a signal came before our handlers were in place
                    continue
                LOG.info("watching again: Kueue has come, or gone")
            except Exception:
                short_lived = short_lived + 1 if loop.time() - started < SHORT_LIVED else 1
                if short_lived >= TOO_OFTEN:
                    raise
                LOG.exception("watches ended; starting them again")
                await asyncio.sleep(short_lived)
            await self.sync.prime()
            self.sync.enqueue()

    async def _watch_once(self) -> bool:
        """Whether to watch again, since there is another thing to watch.

        Kopf installs its signal handlers over ours: put ours back as soon as it is up.
        """
        up = asyncio.Event()
        self.kueue.changed.clear()
        watches = asyncio.create_task(
            watch.watching(self.intake, self._access, self.settings.namespaces, self.kueue.workloads, up)
        )
        signals = asyncio.create_task(self._own_signals(up))
        changed = asyncio.create_task(self.kueue.changed.wait())
        try:
            await asyncio.wait({watches, changed}, return_when=asyncio.FIRST_COMPLETED)
            if not watches.done():
                return True
            await watches
        finally:
            await _cancelled([signals, watches, changed])
        return False

    async def _own_signals(self, up: asyncio.Event) -> None:
        await up.wait()
        self.handle_signals()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT end us gracefully."""
        for one in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(one, self.stop.set)

    async def _access(self) -> Access:
        return await access(self.configuration)

    async def _drain(self) -> None:
        """No new work; what is under way may end."""
        self.leading.clear()
        self.metrics.leading.set(0)
        self.queue.close()
        deadline = asyncio.get_running_loop().time() + DRAIN
        while self.queue.busy and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  a poll at the very end
            await asyncio.sleep(0.01)

    async def _close(self, pages: web.AppRunner) -> None:
        await self.progress.close()
        await self.cluster.close()
        await pages.cleanup()

    def _unhealthy(self) -> str:
        """What is wrong with us, if a restart could cure it."""
        listed = self.sync.listed_at
        if listed is None:
            return ""
        age = asyncio.get_running_loop().time() - listed
        return f"the last full list is {age:.0f} s old" if age > STALE * self.settings.resync_interval else ""

    def _unready(self) -> str:
        """Why we are not ready."""
        return "" if self.primed.is_set() else "caches are not primed yet"


def _tell(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Say what has ended that must not."""
    for one in tasks:
        if one.done() and not one.cancelled() and one.exception() is not None:
            LOG.error("ended by an error", exc_info=one.exception())


async def _cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def installed(settings: Settings) -> Installed:
    """The settings that a decision may see."""
    return Installed(
        trainer_image=settings.trainer_image,
        stall_timeout=settings.stall_timeout,
        pending_deadline=settings.pending_deadline,
        start_grace=settings.start_grace,
        retry_base=settings.retry_base,
        retry_cap=settings.retry_cap,
        keep_attempts=settings.keep_attempts,
        progress_interval=settings.progress_interval,
    )

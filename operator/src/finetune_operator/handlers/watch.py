"""kopf as a watch source, and only that: `on.event` into the intake. No finalizer, no annotation, no progress, no diff."""

import asyncio
import contextlib
import contextvars
import weakref
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import kopf

from finetune_operator import names
from finetune_operator.cluster.access import Access
from finetune_operator.cluster.api import Resource
from finetune_operator.reconcile.intake import Intake

PATIENCE = (1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, *[30.0] * 60)
"""Pauses between tries of a request (s). With kopf's own 54 s an API server that is away for a minute ends the operator."""
CHUNK = 500
WATCHER = "watcher for "
"""Begins the name of kopf's task that watches one kind."""
PATIENT = 5.0
"""Longest wait for what was cancelled (s), before it is cancelled again. In an orderly end workers have two seconds."""
Task = asyncio.Task[Any]
OWN: contextvars.ContextVar[weakref.WeakSet[Task]] = contextvars.ContextVar("tasks of these watches")


class NoDiff(kopf.DiffBaseStorage):
    """kopf would copy every object for a diff that nobody reads: half of its time."""

    def build(self, **_: Any) -> Any:
        """Nothing."""
        return {}

    def fetch(self, **_: Any) -> Any:
        """Nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Nowhere."""


class NoProgress(kopf.ProgressStorage):
    """Handlers of events keep no progress."""

    def fetch(self, **_: Any) -> Any:
        """Nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Nowhere."""

    def purge(self, **_: Any) -> None:
        """Nothing to purge."""

    def touch(self, **_: Any) -> None:
        """Nothing to touch."""

    def clear(self, *, essence: Any) -> Any:
        """As it is."""
        return essence


async def watching(
    intake: Intake,
    access: Callable[[], Awaitable[Access]],
    namespaces: tuple[str, ...],
    workloads: Resource | None,
    up: asyncio.Event,
) -> None:
    """Watch until cancelled, or until kopf gives up. `up` is set when it has installed its signal handlers.

    `kopf.operator()` would, at its end, wait for and cancel every task of the loop that is younger than itself, ours too.
    """
    own: weakref.WeakSet[Task] = weakref.WeakSet()
    OWN.set(own)
    asyncio.get_running_loop().set_task_factory(_noted)
    tasks = await kopf.spawn_tasks(
        registry=registry(intake, access, workloads),
        settings=watch_settings(),
        clusterwide=not namespaces,
        namespaces=namespaces,
        standalone=True,
    )
    up.set()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        await _to_its_end(_ended(tasks, own))


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Whoever waits for `work` may be cancelled meanwhile; `work` is not, and is waited for.

    A watcher that is left alone outlives everything, the end of the process too: that waits for each task once cancelled.
    """
    task = asyncio.create_task(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()


async def _ended(tasks: Collection[Task], own: Collection[Task]) -> None:
    """Cancel what kopf has started, until all of it has ended.

    Where one watcher fails, kopf leaves the others alone with their connections; and one that is cancelled while it leaves a
    connection for the next goes on, so that what waits for its end waits for ever. Those are told again.
    """
    for one in tasks:
        one.cancel()
    left = set(tasks)
    while left:
        _, left = await asyncio.wait(left, timeout=PATIENT)
        watchers = {one for one in own if one.get_name().startswith(WATCHER) and not one.done()}
        for one in watchers:
            one.cancel()
        left |= watchers
    for one in {*tasks, *own}:
        if one.done() and not one.cancelled():
            one.exception()  # seen: the first one was raised above


def _noted(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> Task:
    """A task factory that tells `watching` what is started on its behalf, however indirectly."""
    task = asyncio.Task(work, loop=loop, **more)
    if (own := OWN.get(None)) is not None:
        own.add(task)
    return task


def watch_settings() -> kopf.OperatorSettings:
    """kopf, quiet: it watches what carries our label, writes nothing, and keeps nothing."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = NoDiff()
    settings.persistence.progress_storage = NoProgress()
    settings.watching.chunk_size = CHUNK
    for kind in ("jobs.batch", "pods"):
        settings.watching.label_selectors[kind] = names.OURS  # keys of another form match nothing, silently
    settings.networking.error_backoffs = PATIENCE
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = None  # it is a SIGKILL; our own end has its own deadlines
    return settings


def registry(
    intake: Intake, access: Callable[[], Awaitable[Access]], workloads: Resource | None = None
) -> kopf.OperatorRegistry:
    """The four watches, the fifth where there is a Kueue, and who we are to the API server."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        """Asked at start and after each 401."""
        ours = await access()
        return kopf.ConnectionInfo(
            server=ours.server,
            ca_path=ours.ca_path,
            insecure=ours.insecure,
            token=ours.token,
            certificate_path=ours.certificate_path,
            private_key_path=ours.key_path,
        )

    _watch(found, (names.GROUP, names.VERSION, names.JOBS), intake.job)
    _watch(found, (names.GROUP, names.VERSION, names.PROFILES), intake.profile)
    _watch(found, ("batch", "v1", "jobs"), intake.child)
    _watch(found, ("", "v1", "pods"), intake.pod)
    if workloads is not None:
        _watch(found, (workloads.group, workloads.version, workloads.plural), intake.workload)
    return found


def _watch(
    found: kopf.OperatorRegistry,
    resource: tuple[str, str, str],
    take: Callable[[str | None, dict[str, Any]], None],
) -> None:
    """Hand every event of a kind to `take`."""

    @kopf.on.event(*resource, registry=found, id=resource[2])
    async def on_event(event: Any, **_: Any) -> None:
        take(event["type"], event["object"])

"""What is measured: a burst, a light load, a quiet time. Each returns plain figures."""

import asyncio
import itertools
import math
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from bench_api import (
    EVENTS,
    FINETUNEJOBS,
    PODS,
    ApiServer,
    all_of,
    apply,
    emptied,
    requests_so_far,
    send,
    watched,
)
from bench_subject import Subject, named

WRITES = ("post", "put", "patch", "apply", "delete")
AT_ONCE = 32
HEAD_START = 2.0
"""Of a crowd before another tenant's job (s)."""
JOB_NAME, STAGE = "finetune.dev/job-name", "finetune.dev/stage"
Figures = dict[str, Any]


@dataclass
class Seen:
    """When things happened, by the name of the FineTuneJob (monotonic seconds)."""

    sent: dict[str, float] = field(default_factory=dict)
    created: dict[str, float] = field(default_factory=dict)
    """The API server has answered."""
    first_pod: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)
    """The training pod has succeeded."""
    ended: dict[str, float] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)

    def pod(self, moment: float, pod: dict[str, Any]) -> None:
        """A pod was created or has changed."""
        labels = pod["metadata"].get("labels", {})
        if name := labels.get(JOB_NAME):
            self.first_pod.setdefault(name, moment)
            if labels[STAGE] == "train" and pod.get("status", {}).get("phase") == "Succeeded":
                self.trained.setdefault(name, moment)

    def job(self, moment: float, job: dict[str, Any]) -> None:
        """A FineTuneJob has changed."""
        name, state = job["metadata"]["name"], job.get("status", {}).get("state")
        if state == "Running":
            self.running.add(name)
        if state in ("Succeeded", "Failed") and name not in self.ended:
            self.ended[name] = moment
            self.states[state] += 1


@dataclass(frozen=True)
class Ground:
    """What every round stands on."""

    server: ApiServer
    subject: Subject
    tell: Callable[[str], None]
    patience: float


def finetunejob(namespace: str, name: str) -> dict[str, Any]:
    """A small job of one GPU."""
    return named(
        "finetune.dev/v1alpha1",
        "FineTuneJob",
        name,
        spec={
            "model": {"uri": "hf://Qwen/Qwen3-0.6B"},
            "dataset": {"train": [{"uri": "s3://team-a/tickets.jsonl"}]},
            "output": {"uri": f"s3://team-a/{namespace}/{name}", "credentialsSecretRef": {"name": "bucket"}},
            "resources": {"gpusPerNode": 1, "cpu": "1", "memory": "1Gi", "scratch": "1Gi"},
        },
    )


async def burst(ground: Ground, count: int) -> tuple[Figures, str]:
    """`count` jobs as fast as they can be created; figures, and the namespace that holds them."""
    async with ground.server.session() as session:
        namespace = await new_namespace(session)
        before = await _counters(ground, session)
        seen = await _played(
            ground, session, namespace, [f"j-{number:05d}" for number in range(count)], rate=0
        )
        events = await _events_of_ours(session, [namespace])
        after = await _counters(ground, session)
    return {**_latencies(seen), **_speeds(seen), **_costs(before, after, count, events)}, namespace


async def light(ground: Ground, rate: float, seconds: float) -> Figures:
    """Jobs one after the other, `rate` per second."""
    names = [f"l-{number:05d}" for number in range(max(1, int(rate * seconds)))]
    async with ground.server.session() as session:
        namespace = await new_namespace(session)
        seen = await _played(ground, session, namespace, names, rate=rate)
        await _removed(ground, session, namespace)
    return _latencies(seen)


async def hold(ground: Ground, count: int) -> str:
    """`count` jobs that train and never end; returns once all do."""
    async with ground.server.session() as session:
        namespace = await new_namespace(session)
        names = [f"hold-{number:05d}" for number in range(count)]
        await _played(
            ground, session, namespace, names, rate=0, until=lambda seen: len(seen.running) >= count
        )
    return namespace


async def neighbour(ground: Ground, count: int) -> Figures:
    """How long another tenant's only job waits for its pod while `count` jobs of one namespace are on their way."""
    async with ground.server.session() as session:
        crowded, alone = await new_namespace(session), await new_namespace(session)
        names = [f"c-{number:05d}" for number in range(count)]
        crowd = asyncio.create_task(_played(ground, session, crowded, names, rate=0))
        await asyncio.sleep(HEAD_START)
        seen = await _played(
            ground, session, alone, ["only"], rate=0, until=lambda seen: "only" in seen.first_pod
        )
        waited = _latencies(seen)["pod_p50_ms"]
        others = _latencies(await crowd)
        await _removed(ground, session, crowded)
        await _removed(ground, session, alone)
    return {"jobs": count, "pod_ms": waited, "crowd_pod_p50_ms": others["pod_p50_ms"]}


async def settled(ground: Ground, count: int, example: str) -> str:
    """`count` jobs that have ended as those of the namespace `example` have: written here, while no operator looks."""
    async with ground.server.session() as session:
        (ended, *_) = await all_of(session, FINETUNEJOBS.format(example))
        namespace = await new_namespace(session)
    path, left = FINETUNEJOBS.format(namespace), iter(range(count))
    async with ground.server.session(AT_ONCE) as session:

        async def worker() -> None:
            for number in left:
                name = f"s-{number:05d}"
                await send(session, "POST", path, finetunejob(namespace, name))
                body = named("finetune.dev/v1alpha1", "FineTuneJob", name, status=ended["status"])
                await apply(session, f"{path}/{name}/status", body)

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return namespace


async def quiet(ground: Ground, seconds: float, namespaces: Iterable[str], settle: float) -> Figures:
    """Nothing happens. What is written all the same, and what the operator takes of one core."""
    async with ground.server.session() as session:
        await _settled(ground, settle)
        events, versions = await _events_of_ours(session, namespaces), await _versions(session, namespaces)
        requests, busy = await ground.subject.requests(), ground.subject.use().cpu_seconds
        await asyncio.sleep(seconds)
        sent = await ground.subject.requests() - requests
        events = await _events_of_ours(session, namespaces) - events
        changed = sum((await _versions(session, namespaces) - versions).values())
    percent = 100 * (ground.subject.use().cpu_seconds - busy) / seconds
    return {
        "seconds": seconds,
        "writes": sum(sent[verb] for verb in WRITES) - events,
        "events": events,
        "requests": dict(sent),
        "objects_changed": changed,
        "cpu_percent": round(percent, 2),
    }


async def _settled(ground: Ground, seconds: float) -> None:
    """Until the operator has sent nothing for `seconds`: Events are sent one after the other, long after what they tell of."""
    deadline, before = time.monotonic() + ground.patience, await ground.subject.requests()
    while time.monotonic() < deadline:
        await asyncio.sleep(seconds)
        now = await ground.subject.requests()
        if not any((now - before)[verb] for verb in WRITES):
            return
        before = now


async def _versions(session: aiohttp.ClientSession, namespaces: Iterable[str]) -> Counter[str]:
    """Each FineTuneJob with its version, so that any write shows, whoever says what."""
    found = [await all_of(session, FINETUNEJOBS.format(namespace)) for namespace in namespaces]
    return Counter(
        job["metadata"]["uid"] + job["metadata"]["resourceVersion"] for job in itertools.chain(*found)
    )


async def new_namespace(session: aiohttp.ClientSession) -> str:
    """A new one, ready for pods."""
    name = f"bench-{uuid.uuid4().hex[:6]}"
    await apply(session, f"/api/v1/namespaces/{name}", named("v1", "Namespace", name))
    await asyncio.sleep(1)  # its ServiceAccount comes by a controller, and no pod before it
    return name


async def _removed(ground: Ground, session: aiohttp.ClientSession, namespace: str) -> None:
    await emptied(session, FINETUNEJOBS.format(namespace), 120, ground.tell)
    await send(session, "DELETE", f"/api/v1/namespaces/{namespace}")


async def removed(ground: Ground, namespaces: Iterable[str]) -> None:
    """Delete what rounds have left."""
    async with ground.server.session() as session:
        for namespace in namespaces:
            await _removed(ground, session, namespace)


async def _played(
    ground: Ground,
    session: aiohttp.ClientSession,
    namespace: str,
    names: list[str],
    *,
    rate: float,
    until: Callable[[Seen], bool] | None = None,
) -> Seen:
    """Create the jobs, and watch until they have ended, or `until`."""
    seen = Seen()
    done = until or (lambda seen: len(seen.ended) >= len(names))
    watchers = [
        asyncio.create_task(_followed(session, FINETUNEJOBS.format(namespace), seen.job)),
        asyncio.create_task(_followed(session, PODS.format(namespace), seen.pod)),
    ]
    await asyncio.sleep(0.5)
    try:
        await _created(ground.server, namespace, names, seen, rate)
        await _waited(
            lambda: done(seen), ground, lambda: f"{len(seen.ended)} of {len(names)} jobs have ended", watchers
        )
    finally:
        for watcher in watchers:
            watcher.cancel()
    return seen


async def _followed(
    session: aiohttp.ClientSession, path: str, told: Callable[[float, dict[str, Any]], None]
) -> None:
    async for moment, _, found in watched(session, path):
        told(moment, found)


async def _created(server: ApiServer, namespace: str, names: list[str], seen: Seen, rate: float) -> None:
    """Send all; with a rate, each at its time."""
    path, start, left = FINETUNEJOBS.format(namespace), time.monotonic(), iter(enumerate(names))
    async with server.session(AT_ONCE) as session:

        async def worker() -> None:
            for number, name in left:
                if rate:
                    await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
                seen.sent[name] = time.monotonic()
                await send(session, "POST", path, finetunejob(namespace, name))
                seen.created[name] = time.monotonic()

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def _waited(
    holds: Callable[[], bool], ground: Ground, told: Callable[[], str], watchers: list["asyncio.Task[None]"]
) -> None:
    deadline, next_word = time.monotonic() + ground.patience, time.monotonic() + 10
    while not holds():
        for watcher in watchers:
            if watcher.done():
                watcher.result()
        if time.monotonic() > deadline:
            ground.tell(f"gave up after {ground.patience:.0f} s: {told()}")
            return
        if time.monotonic() > next_word:
            ground.tell(told())
            next_word += 10
        await asyncio.sleep(0.05)


async def _counters(
    ground: Ground, session: aiohttp.ClientSession
) -> tuple[Counter[str], Counter[tuple[str, str]], float]:
    return await ground.subject.requests(), await requests_so_far(session), ground.subject.use().cpu_seconds


async def _events_of_ours(session: aiohttp.ClientSession, namespaces: Iterable[str]) -> int:
    """Events that the operator has sent."""
    found = [await all_of(session, EVENTS.format(namespace)) for namespace in namespaces]
    sources = [(event.get("source") or {}).get("component") for event in itertools.chain(*found)]
    return sources.count("finetune-operator")


def _latencies(seen: Seen) -> Figures:
    pods = [seen.first_pod[name] - sent for name, sent in seen.sent.items() if name in seen.first_pod]
    ends = [seen.ended[name] - sent for name, sent in seen.sent.items() if name in seen.ended]
    lags = [seen.ended[name] - moment for name, moment in seen.trained.items() if name in seen.ended]
    return {
        "jobs": len(seen.sent),
        "ended": len(seen.ended),
        "states": dict(seen.states),
        "pod_p50_ms": milliseconds(pods, 0.5),
        "pod_p99_ms": milliseconds(pods, 0.99),
        "done_p50_ms": milliseconds(ends, 0.5),
        "status_lag_p50_ms": milliseconds(lags, 0.5),
        "status_lag_p99_ms": milliseconds(lags, 0.99),
    }


def _speeds(seen: Seen) -> Figures:
    """Per second, from the first request to the last of each kind."""
    start = min(seen.sent.values())
    took = {
        name: max(times.values(), default=math.inf) - start
        for name, times in (("pods", seen.first_pod), ("done", seen.ended))
    }
    return {
        "created_per_second": round(len(seen.created) / (max(seen.created.values()) - start), 1),
        "pods_per_second": round(len(seen.first_pod) / took["pods"], 2),
        "done_per_second": round(len(seen.ended) / took["done"], 2),
        "seconds": round(took["done"], 2),
    }


def _costs(before: Any, after: Any, count: int, events: int) -> Figures:
    """Requests and CPU for each job. Events are put aside, and told beside."""
    operator, everybody = after[0] - before[0], after[1] - before[1]
    most = everybody.most_common(20)
    whole_cluster = {f"{verb} {kind}": round(number / count, 2) for (verb, kind), number in most}
    by_verb = {verb: round(number / count, 3) for verb, number in sorted(operator.items())}
    return {
        "api_requests_per_job": round((operator.total() - events) / count, 3),
        "api_requests_per_job_by_verb": by_verb,
        "events_per_job": round(events / count, 3),
        "api_server_requests_per_job": whole_cluster,
        "operator_cpu_ms_per_job": round(1000 * (after[2] - before[2]) / count, 2),
        "operator_cpu_s": round(after[2] - before[2], 2),
    }


def milliseconds(seconds: list[float], share: float) -> float | None:
    """A percentile, nearest rank."""
    if not seconds:
        return None
    return round(1000 * sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)], 1)


async def neighbours(
    ground: Ground, probe: Callable[[], float], seconds: float, wait: Callable[[float], Awaitable[None]]
) -> float:
    """Cores that others use while we do nothing."""
    before, own = probe(), ground.subject.use().cpu_seconds
    await wait(seconds)
    return round((probe() - before - (ground.subject.use().cpu_seconds - own)) / seconds, 2)

"""What is measured: a burst, a light load, a quiet time. Each returns plain figures."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp
from bench_api import (
    EVENTS,
    FINETUNEJOBS,
    ApiServer,
    all_of,
    apply,
    emptied,
    requests_so_far,
    send,
    stillness,
    unchanged,
)
from bench_play import AT_ONCE, Figures, Player, finetunejob, latencies, new_namespace, speeds
from bench_subject import Subject, named

WRITES = ("post", "put", "patch", "apply", "delete")
HEAD_START = 2.0
"""Of a crowd before another tenant's job (s)."""


@dataclass(frozen=True)
class Ground:
    """What every round stands on."""

    server: ApiServer
    subject: Subject
    tell: Callable[[str], None]
    patience: float

    @property
    def player(self) -> Player:
        """Plays FineTuneJobs here."""
        return Player(self.server, self.tell, self.patience)


async def burst(ground: Ground, count: int) -> tuple[Figures, str]:
    """`count` jobs as fast as they can be created; figures, and the namespace that holds them."""
    async with ground.server.session() as session:
        namespace = await new_namespace(session)
        before = await _counters(ground, session)
        names = [f"j-{number:05d}" for number in range(count)]
        seen = await ground.player.play(session, namespace, names)
        events = await _events_of_ours(session, [namespace])
        after = await _counters(ground, session)
    return {**latencies(seen), **speeds(seen), **_costs(before, after, count, events)}, namespace


async def light(ground: Ground, rate: float, seconds: float) -> Figures:
    """Jobs one after the other, `rate` per second."""
    names = [f"l-{number:05d}" for number in range(max(1, int(rate * seconds)))]
    async with ground.server.session() as session:
        # After a burst the job controller is behind: pods of new Jobs come up to twenty seconds later, whoever makes the Jobs.
        await stillness(session, ground.patience, ground.tell)
        namespace = await new_namespace(session)
        seen = await ground.player.play(session, namespace, names, rate=rate)
        await _removed(ground, session, namespace)
    return latencies(seen)


async def hold(ground: Ground, count: int) -> str:
    """`count` jobs that train and never end; returns once all do."""
    async with ground.server.session() as session:
        namespace = await new_namespace(session)
        names = [f"hold-{number:05d}" for number in range(count)]
        await ground.player.play(session, namespace, names, until=lambda seen: len(seen.running) >= count)
    return namespace


async def neighbour(ground: Ground, count: int) -> Figures:
    """How long another tenant's only job waits for its pod while `count` jobs of one namespace are on their way."""
    async with ground.server.session() as session:
        crowded, alone = await new_namespace(session), await new_namespace(session)
        names = [f"c-{number:05d}" for number in range(count)]
        crowd = asyncio.create_task(ground.player.play(session, crowded, names))
        await asyncio.sleep(HEAD_START)
        seen = await ground.player.play(session, alone, ["only"], until=lambda seen: "only" in seen.first_pod)
        waited = latencies(seen)["pod_p50_ms"]
        others = latencies(await crowd)
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

    async def written() -> int:
        sent = await ground.subject.requests()
        return sum(sent[verb] for verb in WRITES)

    await unchanged(written, seconds, ground.patience)


async def _versions(session: aiohttp.ClientSession, namespaces: Iterable[str]) -> Counter[str]:
    """Each FineTuneJob with its version, so that any write shows, whoever says what."""
    found = [await all_of(session, FINETUNEJOBS.format(namespace)) for namespace in namespaces]
    return Counter(
        job["metadata"]["uid"] + job["metadata"]["resourceVersion"] for job in itertools.chain(*found)
    )


async def _removed(ground: Ground, session: aiohttp.ClientSession, namespace: str) -> None:
    await emptied(session, FINETUNEJOBS.format(namespace), 120, ground.tell)
    await send(session, "DELETE", f"/api/v1/namespaces/{namespace}")


async def removed(ground: Ground, namespaces: Iterable[str]) -> None:
    """Delete what rounds have left."""
    async with ground.server.session() as session:
        for namespace in namespaces:
            await _removed(ground, session, namespace)


async def _counters(
    ground: Ground, session: aiohttp.ClientSession
) -> tuple[Counter[str], Counter[tuple[str, str]], float]:
    return await ground.subject.requests(), await requests_so_far(session), ground.subject.use().cpu_seconds


async def _events_of_ours(session: aiohttp.ClientSession, namespaces: Iterable[str]) -> int:
    """Events that the operator has sent."""
    found = [await all_of(session, EVENTS.format(namespace)) for namespace in namespaces]
    sources = [(event.get("source") or {}).get("component") for event in itertools.chain(*found)]
    return sources.count("finetune-operator")


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


async def neighbours(
    ground: Ground, probe: Callable[[], float], seconds: float, wait: Callable[[float], Awaitable[None]]
) -> float:
    """Cores that others use while we do nothing."""
    before, own = probe(), ground.subject.use().cpu_seconds
    await wait(seconds)
    return round((probe() - before - (ground.subject.use().cpu_seconds - own)) / seconds, 2)

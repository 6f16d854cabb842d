"""`make soak`: jobs come and go for half an hour while everything goes wrong, on a real API server with pods played by kwok.

Between the operator and the API server stands a proxy that refuses, delays, cuts and repeats at random (api_proxy.py). Somebody
suspends jobs, deletes pods, Jobs and FineTuneJobs, and empties statuses; the operator is killed again and again in the first half.
In the end every FineTuneJob that was not deleted must have succeeded, none may ever have had two live training Jobs, nothing may
be written any more, and the operator may have grown by no more than a sixth. The last line is one JSON object; exit code 1: a
promise broke.
"""

import argparse
import asyncio
import contextlib
import json
import pathlib
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import bench_operator
import bench_rounds as rounds
import bench_subject
import yaml
from api_proxy import ApiProxy
from bench_api import FINETUNEJOBS, PODS, ApiServer, Object, all_of, send, watched
from bench_play import finetunejob, new_namespace
from bench_rounds import Ground
from bench_subject import Subject

JOBS = "/apis/batch/v1/namespaces/{}/jobs"
UID, STAGE = "finetune.dev/job-uid", "finetune.dev/stage"
MERGE = "application/merge-patch+json"
KILLED_EVERY = 45.0
"""Seconds between two deaths of the operator, in the first half."""
DELETED = 0.1
"""Share of FineTuneJobs that somebody deletes."""
HURT = 0.6
"""Share of the others to which something else happens."""
GROWN = 1.17
QUIET = 20.0
SETTINGS = {"FINETUNE_RESYNC_INTERVAL": "60", "FINETUNE_API_TIMEOUT": "10"}


@dataclass
class Seen:
    """What the API server itself has told, beside the proxy."""

    ended: dict[str, str] = field(default_factory=dict)
    """State of each FineTuneJob that has ended, by name."""
    changed_after_end: set[str] = field(default_factory=set)
    live: dict[str, set[str]] = field(default_factory=dict)
    """Names of the live training Jobs of each FineTuneJob, by its uid."""
    most_live: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    """Training Jobs ever made, by uid."""

    def job(self, _moment: float, kind: str, found: Object) -> None:
        """A FineTuneJob."""
        name, state = found["metadata"]["name"], found.get("status", {}).get("state", "Pending")
        if kind == "DELETED":
            self.ended.pop(name, None)
        elif state in {"Succeeded", "Failed"}:
            self.ended.setdefault(name, state)
        elif name in self.ended:
            self.changed_after_end.add(name)

    def child(self, _moment: float, kind: str, found: Object) -> None:
        """A Job."""
        metadata = found["metadata"]
        labels = metadata.get("labels", {})
        if labels.get(STAGE) != "train":
            return
        mine = self.live.setdefault(labels[UID], set())
        if kind == "ADDED":
            self.runs[labels[UID]] += 1
        over = any(
            one["type"] in {"Complete", "Failed"} and one["status"] == "True"
            for one in found.get("status", {}).get("conditions", [])
        )
        if kind == "DELETED" or over or "deletionTimestamp" in metadata:
            mine.discard(metadata["name"])
        else:
            mine.add(metadata["name"])
            self.most_live = max(self.most_live, len(mine))


@dataclass
class Soak:
    """One run."""

    given: argparse.Namespace
    session: aiohttp.ClientSession
    namespace: str
    dice: random.Random
    operator: "Mortal"
    seen: Seen = field(default_factory=Seen)
    done_to: Counter[str] = field(default_factory=Counter)
    deleted: set[str] = field(default_factory=set)

    async def go(self) -> None:
        """All jobs, one after the other, with what happens to each; and the deaths of the operator."""
        seconds = self.given.minutes * 60
        async with asyncio.TaskGroup() as lives:
            lives.create_task(self.operator.dies_now_and_then(seconds / 2))
            for number in range(self.given.jobs):
                lives.create_task(self._life(f"j-{number:05d}"))
                await asyncio.sleep(seconds * 0.9 / self.given.jobs)

    async def _life(self, name: str) -> None:
        body = finetunejob(self.namespace, name)
        await send(self.session, "POST", FINETUNEJOBS.format(self.namespace), body)
        await asyncio.sleep(self.dice.uniform(0, 6))
        if self.dice.random() < DELETED:
            self.deleted.add(name)
            await self._told("FineTuneJob deleted", self._delete(FINETUNEJOBS, name))
        elif self.dice.random() < HURT:
            word, hurt = self.dice.choice(self._hurts())
            await self._told(word, hurt(name))

    def _hurts(self) -> list[tuple[str, Callable[[str], Awaitable[None]]]]:
        return [
            ("suspended and resumed", self._suspend),
            ("status emptied", self._empty),
            ("pods deleted", lambda name: self._delete_of(PODS, name)),
            ("Jobs deleted", lambda name: self._delete_of(JOBS, name)),
        ]

    async def _told(self, word: str, act: Awaitable[None]) -> None:
        self.done_to[word] += 1
        with contextlib.suppress(aiohttp.ClientResponseError):  # it was gone before
            await act

    async def _suspend(self, name: str) -> None:
        await self._patch(name, {"spec": {"runPolicy": {"suspend": True}}})
        await asyncio.sleep(self.dice.uniform(1, 8))
        await self._patch(name, {"spec": {"runPolicy": {"suspend": False}}})

    async def _empty(self, name: str) -> None:
        path = f"{FINETUNEJOBS.format(self.namespace)}/{name}"
        if name not in self.seen.ended:  # what has ended would run anew, and rightly so
            await self._patched(f"{path}/status", {"status": None})

    async def _patch(self, name: str, body: Object) -> None:
        await self._patched(f"{FINETUNEJOBS.format(self.namespace)}/{name}", body)

    async def _patched(self, path: str, body: Object) -> None:
        async with self.session.patch(path, data=json.dumps(body), headers={"Content-Type": MERGE}) as answer:
            answer.raise_for_status()

    async def _delete_of(self, kind: str, name: str) -> None:
        """What belongs to a FineTuneJob and has not ended."""
        path = kind.format(self.namespace)
        query = f"labelSelector=finetune.dev/job-name={name}"
        for one in (await send(self.session, "GET", f"{path}?{query}"))["items"]:
            await self._delete(kind, one["metadata"]["name"])

    async def _delete(self, kind: str, name: str) -> None:
        path = f"{kind.format(self.namespace)}/{name}"
        await send(self.session, "DELETE", path, {"propagationPolicy": "Background"})

    async def all_have_ended(self) -> list[str]:
        """Names of those that have not, after the longest wait."""
        deadline = time.monotonic() + self.given.patience
        while time.monotonic() < deadline:
            there = await all_of(self.session, FINETUNEJOBS.format(self.namespace))
            left = [
                one["metadata"]["name"]
                for one in there
                if one.get("status", {}).get("state") not in {"Succeeded", "Failed"}
            ]
            if not left:
                return []
            await asyncio.sleep(2)
        return left


class Mortal:
    """The operator: killed, and started again, as a kubelet does."""

    def __init__(self, start: Callable[[], Subject], dice: random.Random) -> None:
        self._start, self._dice = start, dice
        self.subject = start()
        self.deaths = self.exits = 0
        self.rss: list[float] = []

    async def dies_now_and_then(self, seconds: float) -> None:
        """For so long."""
        ends = time.monotonic() + seconds
        while time.monotonic() + KILLED_EVERY < ends:
            await asyncio.sleep(self._dice.uniform(0.5, 1.5) * KILLED_EVERY)
            self.subject.kill()
            self.deaths += 1
            self.subject = self._start()
        self.rss.clear()

    async def looked_after(self, every: float) -> None:
        """Started again where it has ended by itself; its memory from time to time (MiB)."""
        while True:
            await asyncio.sleep(every)
            if not self.subject.alive:
                self.exits += 1
                bench_operator.tell("the operator has ended by itself:\n" + self.subject.tail())
                self.subject = self._start()
            with contextlib.suppress(OSError):
                self.rss.append(self.subject.use().rss_mb)
                self.subject.reset()

    @property
    def growth(self) -> float:
        """Memory of the last third since the last death, to that of the second third."""
        third = len(self.rss) // 3
        if not third:
            return 0.0
        return statistics.median(self.rss[-third:]) / statistics.median(self.rss[third:-third])


async def soaked(given: argparse.Namespace, plane: bench_operator.Plane, folder: pathlib.Path) -> Object:
    """Everything; the figures."""
    server, dice = ApiServer(plane.kubeconfig), random.Random(given.seed)
    async with server.session() as session, ApiProxy(server, random.Random(given.seed)) as proxy:
        await bench_subject.install(session, plane.helm)
        config = await bench_subject.kubeconfig(session, server, folder)
        _by_way_of(config, proxy.port)
        operator = Mortal(lambda: Subject(config, folder / "operator.log", **SETTINGS), dice)
        soak = Soak(given, session, await new_namespace(session), dice, operator)
        background = [
            asyncio.create_task(_followed(session, FINETUNEJOBS.format(soak.namespace), soak.seen.job)),
            asyncio.create_task(_followed(session, JOBS.format(soak.namespace), soak.seen.child)),
            asyncio.create_task(operator.looked_after(every=2.0)),
        ]
        try:
            await soak.go()
            proxy.troubled = False
            left = await soak.all_have_ended()
            for one in background:
                if one.done():
                    one.result()
            ground = Ground(server, operator.subject, bench_operator.tell, given.patience)
            quiet = await rounds.quiet(ground, QUIET, [soak.namespace], 5.0)
        finally:
            for one in background:
                one.cancel()
            operator.subject.stop()
        log = (folder / "operator.log").read_text()
    return {
        "minutes": given.minutes,
        "seed": given.seed,
        "jobs": given.jobs,
        "deleted": len(soak.deleted),
        "states": dict(Counter(state for name, state in soak.seen.ended.items())),
        "not_ended": left,
        "changed_after_end": sorted(soak.seen.changed_after_end),
        "most_live_training_jobs": soak.seen.most_live,
        "training_jobs": soak.seen.runs.total(),
        "operator_killed": operator.deaths,
        "operator_ended_by_itself": operator.exits,
        "tracebacks": log.count("Traceback"),
        "writes_at_rest": quiet["writes"],
        "rss_mb": round(operator.rss[-1], 1) if operator.rss else None,
        "rss_growth": round(operator.growth, 3),
        "done_to_jobs": dict(soak.done_to),
        "faults": dict(proxy.met),
    }


def broken(found: Object) -> list[str]:
    """Promises that did not hold, in words."""
    expected = found["jobs"] - found["deleted"]
    succeeded = found["states"].get("Succeeded", 0)
    rules = {
        f"{expected - succeeded} jobs did not succeed": succeeded < expected,
        "a job had two live training Jobs": found["most_live_training_jobs"] > 1,
        "a job changed after its end": bool(found["changed_after_end"]),
        "something is written at rest": found["writes_at_rest"] > 0,
        "the operator grows": found["rss_growth"] > GROWN,
        "the operator ended by itself": found["operator_ended_by_itself"] > 0,
    }
    return [words for words, broke in rules.items() if broke]


async def _followed(
    session: aiohttp.ClientSession, path: str, told: Callable[[float, str, Object], None]
) -> None:
    async for moment, kind, found in watched(session, path):
        told(moment, kind, found)


def _by_way_of(config: pathlib.Path, port: int) -> None:
    """Have a kubeconfig name the proxy."""
    found: Any = yaml.safe_load(config.read_text())
    found["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
    config.write_text(yaml.safe_dump(found))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="how long (%(default)g)")
    parser.add_argument(
        "--jobs", type=int, default=200, metavar="N", help="FineTuneJobs in all (%(default)d)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (%(default)d)")
    parser.add_argument("--patience", type=float, default=300.0, metavar="S", help="wait for the last job")
    given = parser.parse_args()
    given.kubeconfig, given.nodes = None, 4
    return given


def main() -> None:
    """Run it; the last line is the result."""
    given = arguments()
    with (
        bench_operator.control_plane(given) as plane,
        tempfile.TemporaryDirectory(prefix="finetune-soak-") as folder,
    ):
        found = asyncio.run(soaked(given, plane, pathlib.Path(folder)))
    for words in (wrong := broken(found)):
        bench_operator.tell(words)
    print(json.dumps(found))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

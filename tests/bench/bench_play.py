"""How a kind is driven: objects are created, their pods and their end are watched, and each moment is stamped here."""

import asyncio
import math
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from bench_api import FINETUNEJOBS, PODS, ApiServer, all_of, apply, send, watched
from bench_subject import named

AT_ONCE = 32
JOB_NAME, STAGE = "finetune.dev/job-name", "finetune.dev/stage"
SERVICE_ACCOUNTS = "/api/v1/namespaces/{}/serviceaccounts"
TRAINJOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/{}/trainjobs"
JOBSET_NAME = "jobset.sigs.k8s.io/jobset-name"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"
Figures = dict[str, Any]
Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What is created, and how its pods and its end are told."""

    path: str
    """With {} for the namespace."""
    body: Callable[[str, str], Object]
    """Of a namespace and a name."""
    name_label: str
    """Of a pod: the name of the object that it belongs to."""
    state: Callable[[Object], str]
    """Of an object: Running, Succeeded, Failed, or another word."""
    last: Callable[[Object], bool] = lambda _: True
    """Whether a pod is the one whose end is the object's."""


@dataclass
class Seen:
    """When things happened, by the name of the object (monotonic seconds)."""

    kind: Kind
    sent: dict[str, float] = field(default_factory=dict)
    created: dict[str, float] = field(default_factory=dict)
    """The API server has answered."""
    first_pod: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)
    """The training pod has succeeded."""
    ended: dict[str, float] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    """The object says that it runs."""
    states: Counter[str] = field(default_factory=Counter)

    def pod(self, moment: float, pod: Object) -> None:
        """A pod was created or has changed."""
        if name := pod["metadata"].get("labels", {}).get(self.kind.name_label):
            self.first_pod.setdefault(name, moment)
            if self.kind.last(pod) and pod.get("status", {}).get("phase") == "Succeeded":
                self.trained.setdefault(name, moment)

    def root(self, moment: float, found: Object) -> None:
        """An object has changed."""
        name, state = found["metadata"]["name"], self.kind.state(found)
        if state == "Running":
            self.running.add(name)
        if state in ("Succeeded", "Failed") and name not in self.ended:
            self.ended[name] = moment
            self.states[state] += 1


def finetunejob(namespace: str, name: str) -> Object:
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


def trainjob(_: str, name: str) -> Object:
    """A job of the peer, of one pod with one GPU: `localcluster.peer` has the runtime."""
    group, version = "trainer.kubeflow.org", "v1alpha1"
    reference = {"apiGroup": group, "kind": "ClusterTrainingRuntime", "name": "plain"}
    return named(f"{group}/{version}", "TrainJob", name, spec={"runtimeRef": reference})


def plain_job(_: str, name: str) -> Object:
    """One of Kubernetes' own, with a pod of one GPU."""
    container = {
        "name": "trainer",
        "image": "trainer:bench",
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    return named("batch/v1", "Job", name, spec={"template": {"spec": pod}, "backoffLimit": 0})


def _state_by_conditions(found: Object) -> str:
    conditions = found.get("status", {}).get("conditions", [])
    true = {condition["type"] for condition in conditions if condition["status"] == "True"}
    return "Succeeded" if "Complete" in true else "Failed" if "Failed" in true else ""


FINETUNEJOB = Kind(
    path=FINETUNEJOBS,
    body=finetunejob,
    name_label=JOB_NAME,
    state=lambda found: str(found.get("status", {}).get("state", "")),
    last=lambda pod: bool(pod["metadata"]["labels"][STAGE] == "train"),
)
TRAINJOB = Kind(path=TRAINJOBS, body=trainjob, name_label=JOBSET_NAME, state=_state_by_conditions)
PLAIN_JOB = Kind(
    path=JOBS, body=plain_job, name_label="batch.kubernetes.io/job-name", state=_state_by_conditions
)


@dataclass(frozen=True)
class Player:
    """Plays objects of one kind; gives up after `patience` seconds."""

    server: ApiServer
    tell: Callable[[str], None]
    patience: float
    kind: Kind = FINETUNEJOB

    async def play(
        self,
        session: aiohttp.ClientSession,
        namespace: str,
        names: list[str],
        *,
        rate: float = 0,
        until: Callable[[Seen], bool] | None = None,
    ) -> Seen:
        """Create the objects, as fast as can be or `rate` per second, and watch until they have ended, or `until`."""
        seen = Seen(self.kind)
        done = until or (lambda seen: len(seen.ended) >= len(names))
        watchers = [
            asyncio.create_task(_followed(session, self.kind.path.format(namespace), seen.root)),
            asyncio.create_task(_followed(session, PODS.format(namespace), seen.pod)),
        ]
        await asyncio.sleep(0.5)
        try:
            await self._created(namespace, names, seen, rate)
            await self._waited(
                lambda: done(seen), lambda: f"{len(seen.ended)} of {len(names)} jobs have ended", watchers
            )
        finally:
            for watcher in watchers:
                watcher.cancel()
        return seen

    async def _created(self, namespace: str, names: list[str], seen: Seen, rate: float) -> None:
        """Send all; with a rate, each at its time."""
        path, start, left = self.kind.path.format(namespace), time.monotonic(), iter(enumerate(names))
        async with self.server.session(AT_ONCE) as session:

            async def worker() -> None:
                for number, name in left:
                    if rate:
                        await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
                    seen.sent[name] = time.monotonic()
                    await send(session, "POST", path, self.kind.body(namespace, name))
                    seen.created[name] = time.monotonic()

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    async def _waited(
        self, holds: Callable[[], bool], told: Callable[[], str], watchers: list["asyncio.Task[None]"]
    ) -> None:
        deadline, next_word = time.monotonic() + self.patience, time.monotonic() + 10
        while not holds():
            for watcher in watchers:
                if watcher.done():
                    watcher.result()
            if time.monotonic() > deadline:
                self.tell(f"gave up after {self.patience:.0f} s: {told()}")
                return
            if time.monotonic() > next_word:
                self.tell(told())
                next_word += 10
            await asyncio.sleep(0.05)


async def new_namespace(session: aiohttp.ClientSession) -> str:
    """A new one, ready for pods."""
    name = f"bench-{uuid.uuid4().hex[:6]}"
    await apply(session, f"/api/v1/namespaces/{name}", named("v1", "Namespace", name))
    # Its ServiceAccount comes by a controller, seconds later after a burst. Until then pods are refused, and tried again after ten.
    while not await all_of(session, SERVICE_ACCOUNTS.format(name)):  # noqa: ASYNC110  there is no event to wait for
        await asyncio.sleep(0.2)
    return name


async def _followed(session: aiohttp.ClientSession, path: str, told: Callable[[float, Object], None]) -> None:
    async for moment, _, found in watched(session, path):
        told(moment, found)


def latencies(seen: Seen) -> Figures:
    """From the request to the first pod and to the end, and from a pod's change to that of the object's status."""
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


def speeds(seen: Seen) -> Figures:
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


def milliseconds(seconds: list[float], share: float) -> float | None:
    """A percentile, nearest rank."""
    if not seconds:
        return None
    return round(1000 * sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)], 1)

"""What the pictures of the dashboards show: an operator with FineTuneJobs on a pretended cluster, and a real training.

Each scene is a context that tells Prometheus where the metrics are and comes back when there is enough to see.
"""

import argparse
import asyncio
import contextlib
import copy
import dataclasses
import json
import pathlib
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import bench_operator
import bench_play
import bench_subject
import yaml
from bench_api import ApiServer, apply

import prometheus_server
import stories
import trainer_processes
import trainer_runs

FLEET_SECONDS = 120
FLEET_RATE = 0.4
"""FineTuneJobs per second in each namespace."""
GPUS = {"team-a": 8, "team-b": 4}
PROFILE = bench_subject.named(
    "finetune.dev/v1alpha1",
    "FineTuneProfile",
    "standard",
    spec={"default": True, "prices": {"currency": "EUR", "gpuHour": 2.8}},
)
TRAINS = {"durationMilliseconds": 8000, "jitterDurationMilliseconds": 35000}
"""How long a pretended training lasts."""
STARTED = "startedAt: {{ $now | Quote }}", "startedAt: {{ $.status.startTime | Quote }}"
"""A training is as long as it was played, and its GPU time is counted by that."""
FAILING = {
    "wrong-": ("prepare", 64, "InvalidRow", "s3://team-a/tickets.jsonl line 41: not JSON"),
    "large-": ("train", 86, "OutOfMemory", "the memory of the GPU does not suffice for one row"),
}
"""How the names of jobs begin that fail: stage, exit code, reason and message of the last word."""

JOB = trainer_runs.JOB["name"]
NAMESPACE = trainer_runs.JOB["namespace"]
STEPS, ROWS = 160, 600
ENOUGH = 0.8
"""Share of its steps after which a training has been seen."""
TRAINING_SECONDS = 400
"""It is given up after that."""


@contextlib.contextmanager
def training(folder: pathlib.Path, targets: pathlib.Path) -> Iterator[None]:
    """The tiny model trains on this machine, from its first step most of the way; its end is not waited for."""
    layout = trainer_runs.pod(
        folder / "pod",
        training={"maxSteps": STEPS, "learningRate": 0.002},
        evaluation={"everySteps": STEPS // 8},
        checkpoint={"everySteps": STEPS},
    )
    rows = (json.dumps(row) + "\n" for row in trainer_runs.conversations(ROWS))
    (layout.claims / "data" / "train.jsonl").write_text("".join(rows))
    digest = trainer_processes.ran(layout, "prepare", "--attempt", "1")["result"]["dataset"]["digest"]
    port = bench_subject.free_port()
    words = trainer_processes.command(layout, "train", "--attempt", "1", "--prepared", digest)
    process = subprocess.Popen([*words, "--port", str(port)])

    def reaches(step: float) -> None:
        stories.wait_until(
            lambda: json.loads(layout.progress.read_bytes()) if layout.progress.exists() else {},
            lambda told: (told.get("step") or 0) >= step,
            what=f"step {step:g} of the training",
            seconds=TRAINING_SECONDS,
        )

    try:
        reaches(1)
        pod = {"namespace": NAMESPACE, "pod": f"{JOB}-train-1-0", "finetune_dev_job_name": JOB}
        prometheus_server.tell(targets, [{"targets": [f"127.0.0.1:{port}"], "labels": pod}])
        reaches(ENOUGH * STEPS)
        yield
    finally:
        process.terminate()
        process.wait(120)


@contextlib.contextmanager
def fleet(folder: pathlib.Path, targets: pathlib.Path) -> Iterator[None]:
    """An operator of this checkout against a real API server; two namespaces send jobs, of which some fail."""
    played = folder / "stages.yaml"
    played.write_text(yaml.safe_dump_all(stages()))
    given = argparse.Namespace(kubeconfig=None, nodes=10)
    with bench_operator.control_plane(given, "--stages", str(played)) as plane:
        subject = asyncio.run(_jobs(plane, folder, targets))
        try:
            yield
        finally:
            subject.stop()


async def _jobs(
    plane: bench_operator.Plane, folder: pathlib.Path, targets: pathlib.Path
) -> bench_subject.Subject:
    """The operator, while the last of the jobs are still at work."""
    server = ApiServer(plane.kubeconfig)
    async with server.session() as session:
        await bench_subject.install(session, plane.helm)
        await apply(session, "/apis/finetune.dev/v1alpha1/finetuneprofiles/standard", PROFILE)
        for namespace in GPUS:
            body = bench_subject.named("v1", "Namespace", namespace)
            await apply(session, f"/api/v1/namespaces/{namespace}", body)
        config = await bench_subject.kubeconfig(session, server, folder)
        subject = bench_subject.Subject(config, folder / "operator.log")
        await subject.ready()
        pod = {"targets": [f"127.0.0.1:{subject.port}"], "labels": {"pod": "finetune-operator-0"}}
        prometheus_server.tell(targets, [pod])
        await asyncio.sleep(3)  # an increase is counted from what was seen before
        await asyncio.gather(*(_played(server, session, namespace) for namespace in GPUS))
    return subject


async def _played(server: ApiServer, session: aiohttp.ClientSession, namespace: str) -> None:
    end = time.monotonic() + FLEET_SECONDS
    kind = dataclasses.replace(bench_play.FINETUNEJOB, body=_finetunejob)
    player = bench_play.Player(server, bench_operator.tell, FLEET_SECONDS + 60, kind)
    prefixes = ("good-",) * 6 + tuple(FAILING) + ("good-",) * 3
    names = [
        f"{prefixes[number % len(prefixes)]}{number:03d}" for number in range(int(FLEET_RATE * FLEET_SECONDS))
    ]
    await player.play(session, namespace, names, rate=FLEET_RATE, until=lambda _: time.monotonic() > end)


def _finetunejob(namespace: str, name: str) -> dict[str, Any]:
    made = bench_play.finetunejob(namespace, name)
    made["spec"]["resources"]["gpusPerNode"] = GPUS[namespace]
    return made


def stages() -> list[dict[str, Any]]:
    """What kwok plays for the benchmarks, but trainings last longer, and the jobs of `FAILING` fail."""
    found = list(yaml.safe_load_all(bench_operator.STAGES.read_text()))
    by_name = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "Stage"}
    trained = by_name["training-succeeds"]
    trained["delay"] = TRAINS
    text = trained["next"]["statusTemplate"].replace(*STARTED)
    trained["next"]["statusTemplate"] = re.sub(r',"usage":{.*?}', "", text)
    for prefix, (stage, code, reason, message) in FAILING.items():
        good = f"{'training' if stage == 'train' else 'prepare'}-succeeds"
        expression = {
            "key": f'.metadata.labels["finetune.dev/job-name"] | startswith("{prefix}")',
            "values": ["true"],
        }
        spec = copy.deepcopy(by_name[good])
        by_name[good]["selector"]["matchExpressions"].append({**expression, "operator": "NotIn"})
        spec["selector"]["matchExpressions"].append({**expression, "operator": "In"})
        word = {"version": 1, "stage": stage.capitalize(), "reason": reason, "message": message}
        text = spec["next"]["statusTemplate"].replace("Succeeded", "Failed").replace("Completed", "Error")
        text = text.replace("exitCode: 0", f"exitCode: {code}")
        spec["next"]["statusTemplate"] = re.sub(r"message: '.*'", f"message: '{json.dumps(word)}'", text)
        head = {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage"}
        found.append({**head, "metadata": {"name": f"{prefix}fails"}, "spec": spec})
    return found

"""The operator against a real API server, with pods played by kwok. Prints one JSON object as its last line.

The control plane is that of `localcluster kwok-control-plane`: etcd, API server, controller manager, scheduler and kwok, whose pods
succeed after a second and leave a valid last word. The operator is a process of this checkout, with a token of the chart's
ServiceAccount.

`--thresholds` holds the figures against what they may be: ratios and counts, which a slow machine does not change.

Where requests are counted Events are put aside (and told beside); leader election is off. The keys on top are those of the issue's
table, of the largest burst; `bursts` holds everything of each. Moments are stamped by this process, when a watch line arrives.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import bench_rounds as rounds
import bench_subject
from bench_api import ApiServer
from bench_rounds import Figures, Ground
from bench_subject import ROOT, Subject

LAG_SECONDS = 30.0
"""How long jobs come one by one while many others train: what a pod's change takes to show in the status."""
REST = 30.0
"""After a start: what the watches bring once more, after the lists, is no rest yet."""
STAGES = pathlib.Path(__file__).resolve().parent / "kwok_stages.yaml"


def tell(text: str) -> None:
    """To a person; the last line of standard output is for programs."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def localcluster(*words: str) -> dict[str, Any]:
    """What the cluster tool prints, as JSON."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "cluster")}
    command = [sys.executable, "-m", "localcluster", *words]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: localcluster {' '.join(words)} failed")
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :]) if "{" in done.stdout else {}
    return found


@dataclass(frozen=True)
class Plane:
    """Where the API server is, and what renders the chart: its roles are what the operator gets."""

    kubeconfig: str
    helm: str
    pids: Mapping[str, int] = field(default_factory=dict)
    """Of the control plane's processes, by their names."""


@contextlib.contextmanager
def control_plane(given: argparse.Namespace, *more: str) -> Iterator[Plane]:
    """One without any object, gone afterwards; or the one named, which stays. `more`: words for `localcluster`."""
    if given.kubeconfig:
        yield Plane(given.kubeconfig, "helm")
        return
    localcluster("kwok-control-plane", "down")
    try:
        words = ("--stages", str(STAGES), "--nodes", str(given.nodes), *more)
        found = localcluster("kwok-control-plane", "up", *words)
        yield Plane(found["kubeconfig"], found["tools"]["helm"], found["pids"])
    finally:
        localcluster("kwok-control-plane", "down")


async def measured(given: argparse.Namespace, plane: Plane, folder: pathlib.Path) -> Figures:
    """Everything, one after the other."""
    server, left = ApiServer(plane.kubeconfig), []
    async with server.session() as session:
        await bench_subject.install(session, plane.helm)
        config = await bench_subject.kubeconfig(session, server, folder)
    ground = Ground(server, Subject(config, folder / "operator.log"), tell, given.patience)
    found: Figures = {"bursts": {}}
    try:
        await ground.subject.ready()
        found["neighbours_cores"] = await rounds.neighbours(
            ground, bench_subject.machine_busy_seconds, 3, asyncio.sleep
        )
        for count in given.jobs:
            figures, namespace = await _burst(ground, count)
            found["bursts"][str(count)] = figures
            left.append(namespace)
        if given.light_seconds:
            tell(f"light load: {given.light_rate:g} per second for {given.light_seconds:g} s")
            found["light"] = await rounds.light(ground, given.light_rate, given.light_seconds)
        if given.quiet_seconds:
            found["quiet"] = await _quiet(ground, given, left)
        if given.neighbour:
            tell(f"one job of another tenant beside {given.neighbour}")
            found["neighbour"] = await rounds.neighbour(ground, given.neighbour)
        if given.held:
            found["held"], ground = await _held(ground, given, left, config, folder)
        found["cold_start_s"], ground = await _cold_start(ground, config, folder)
        if given.kubeconfig:
            await rounds.removed(ground, left)
    finally:
        ground.subject.stop()
    return found


async def _burst(ground: Ground, count: int) -> tuple[Figures, str]:
    tell(f"burst of {count} FineTuneJobs")
    ground.subject.reset()
    figures, namespace = await rounds.burst(ground, count)
    figures["rss_mb"] = round(ground.subject.use().rss_mb, 1)
    speeds = f"{figures['pods_per_second']} first pods/s, {figures['done_per_second']} done/s"
    tell(f"  {speeds}, {figures['api_requests_per_job']} requests/job, {figures['rss_mb']} MiB")
    return figures, namespace


async def _quiet(ground: Ground, given: argparse.Namespace, left: list[str]) -> Figures:
    if given.running:
        tell(f"{given.running} jobs that train and do not end")
        left.append(await rounds.hold(ground, given.running))
    tell(f"quiet for {given.quiet_seconds:g} s")
    return await rounds.quiet(ground, given.quiet_seconds, left, given.settle_seconds)


async def _held(
    ground: Ground, given: argparse.Namespace, left: list[str], config: pathlib.Path, folder: pathlib.Path
) -> tuple[Figures, Ground]:
    """As many jobs as asked for, nine of ten settled: what they cost at the start, and at rest."""
    active = given.held // 10 - given.running
    tell(f"{given.held} jobs: {active + given.running} that train, the others settled")
    left.append(await rounds.hold(ground, active))
    ground.subject.stop()
    left.append(await rounds.settled(ground, given.held - active - given.running, left[0]))
    again = Ground(ground.server, Subject(config, folder / "operator.log"), tell, ground.patience)
    seconds = await again.subject.ready()
    started = again.subject.use().cpu_seconds
    tell(f"  ready after {seconds:.1f} s and {started:.1f} CPU s; quiet for {given.quiet_seconds:g} s")
    await asyncio.sleep(REST)
    quiet = await rounds.quiet(again, given.quiet_seconds, left, given.settle_seconds)
    rss = round(again.subject.use().rss_mb, 1)
    tell(
        f"  {rss} MiB, {quiet['cpu_percent']} % of a core; now {given.light_rate:g} jobs per second beside them"
    )
    light = await rounds.light(again, given.light_rate, LAG_SECONDS)
    return {
        "jobs": given.held,
        "running": active + given.running,
        "cold_start_s": round(seconds, 2),
        "cold_start_cpu_s": round(started, 2),
        "rss_mb": rss,
        "cpu_percent": quiet["cpu_percent"],
        "writes": quiet["writes"],
        "requests": quiet["requests"],
        "light": light,
    }, again


async def _cold_start(ground: Ground, config: pathlib.Path, folder: pathlib.Path) -> tuple[float, Ground]:
    """Stop the operator, start it anew among all these jobs."""
    ground.subject.stop()
    tell("restart among all jobs")
    again = Ground(ground.server, Subject(config, folder / "operator.log"), tell, ground.patience)
    return round(await again.subject.ready(), 2), again


def headline(found: Figures) -> Figures:
    """The keys of the issue's table, as far as they are measured here."""
    sizes = sorted(found["bursts"], key=int)
    last = found["bursts"][sizes[-1]]
    top = {
        "jobs": int(sizes[-1]),
        "complete": all(burst["ended"] == int(size) for size, burst in found["bursts"].items()),
        "burst_pods_per_second": last["pods_per_second"],
        "burst_done_per_second": last["done_per_second"],
        "burst_pod_p50_ms": last["pod_p50_ms"],
        "burst_pod_p99_ms": last["pod_p99_ms"],
        "api_requests_per_job": last["api_requests_per_job"],
        "api_requests_per_job_by_verb": last["api_requests_per_job_by_verb"],
        "operator_cpu_s": last["operator_cpu_s"],
        "rss_mb": last["rss_mb"],
        "burst_status_lag_p99_s": _seconds(last["status_lag_p99_ms"]),
    }
    if len(sizes) > 1:
        each = [found["bursts"][size]["seconds"] / int(size) for size in (sizes[0], sizes[-1])]
        top["growth_ratio"] = round(each[1] / each[0], 3)
    if "light" in found:
        top |= {
            "light_pod_p50_ms": found["light"]["pod_p50_ms"],
            "light_pod_p99_ms": found["light"]["pod_p99_ms"],
        }
    if "neighbour" in found:
        waited, crowd = found["neighbour"]["pod_ms"], found["neighbour"]["crowd_pod_p50_ms"]
        top |= {"neighbour_pod_ms": waited, "neighbour_to_crowd": round(waited / crowd, 3)}
    if "held" in found:
        size = f"{found['held']['jobs'] // 1000}k"
        top |= {
            f"rss_mb_{size}": found["held"]["rss_mb"],
            f"cold_start_s_{size}": found["held"]["cold_start_s"],
            f"idle_cpu_percent_{size}": found["held"]["cpu_percent"],
            "status_lag_p99_s": _seconds(found["held"]["light"]["status_lag_p99_ms"]),
        }
    if "quiet" in found:
        top |= {"idle_writes": found["quiet"]["writes"], "idle_cpu_percent": found["quiet"]["cpu_percent"]}
    return {**top, **found}


def over(result: Figures, thresholds: Mapping[str, float]) -> list[str]:
    """A sentence for each figure that is above what it may be at most, or that was not measured."""
    return [
        f"{key} is {result.get(key)}, and may be {most:g} at most"
        for key, most in thresholds.items()
        if result.get(key) is None or result[key] > most
    ]


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 3)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options: list[tuple[str, Any, str, str]] = [
        ("light-rate", 2.0, "R", "jobs per second of the light load"),
        ("light-seconds", 60.0, "S", "how long the light load lasts; 0: none"),
        ("quiet-seconds", 120.0, "S", "time in which nothing happens; 0: none"),
        ("settle-seconds", 10.0, "S", "time without a write before the quiet time begins"),
        ("neighbour", 500, "N", "jobs of one tenant beside which another one's is timed; 0: none"),
        (
            "held",
            0,
            "N",
            "jobs in all, nine of ten settled, that a new operator finds (10000 takes 10 minutes); 0: none",
        ),
        ("running", 100, "N", "jobs that train while it is quiet"),
        ("patience", 600.0, "S", "longest wait for a round"),
        ("nodes", 10, "N", "pretended nodes"),
    ]
    parser.add_argument(
        "--jobs", type=int, nargs="+", default=[100, 1000], metavar="N", help="sizes of the bursts (100 1000)"
    )
    for name, default, letter, text in options:
        parser.add_argument(
            f"--{name}", type=type(default), default=default, metavar=letter, help=f"{text} (%(default)g)"
        )
    parser.add_argument(
        "--thresholds",
        type=pathlib.Path,
        metavar="FILE",
        help="what figures may be at most: JSON, one number a key; exit code 1 names those above",
    )
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="a control plane that runs already, with our stages of kwok; helm is taken from PATH",
    )
    return parser.parse_args()


def main() -> None:
    """Run it; the last line is the result."""
    given = arguments()
    with control_plane(given) as plane, tempfile.TemporaryDirectory(prefix="finetune-bench-") as folder:
        found = asyncio.run(measured(given, plane, pathlib.Path(folder)))
    result = headline(found)
    wrong = over(result, json.loads(given.thresholds.read_text())) if given.thresholds else []
    for sentence in wrong:
        tell(sentence)
    print(json.dumps(result))
    sys.exit(0 if result["complete"] and not wrong else 1)


if __name__ == "__main__":
    main()

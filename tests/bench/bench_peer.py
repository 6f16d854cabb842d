"""FineTuneJobs beside the TrainJobs of Kubeflow Trainer, by turns on this machine. Prints one JSON object as its last line.

Each turn is a burst on a control plane of its own (that of bench_operator.py, with its stages of kwok), driven by the same code. A
FineTuneJob makes two Jobs, Prepare and Train; a TrainJob a JobSet, which makes one Job. `burst_done_ratio_to_peer` is the median of
the rounds' ratios of ended objects per second, above 1 where ours are faster. Jobs of Kubernetes' own are a third side: half as
many pairs of them end per second, and `two_jobs_ratio_to_peer` is what an operator would reach that made two Jobs one after the
other and cost nothing. CPU seconds of the processes, and the API server's requests, are counted until the last object has ended,
and once more until nothing is written any longer: Events follow the work.
"""

import argparse
import asyncio
import json
import os
import pathlib
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from typing import Any

import bench_operator
import bench_subject
from bench_api import ApiServer, requests_so_far, stillness
from bench_operator import Plane, tell
from bench_play import (
    FINETUNEJOB,
    PLAIN_JOB,
    TRAINJOB,
    Figures,
    Kind,
    Player,
    latencies,
    new_namespace,
    speeds,
)
from bench_subject import Subject

MANAGERS = ("trainer-controller-manager", "jobset")
OURS = "operator"
OTHERS = {"peer": TRAINJOB, "plain": PLAIN_JOB}
PROGRAMS = {
    "ours": bench_subject.OPERATOR,
    "least": (str(pathlib.Path(__file__).with_name("bench_least.py")),),
}
SIDES = ("ours", *OTHERS, "least")
WARM = 5
"""Jobs before those that count: every process has then done all that it does."""


def main() -> None:
    """Run it; the last line is the result."""
    given = arguments()
    turns = [
        _turn(given, side) for number in range(given.rounds) for side in SIDES[:: -1 if number % 2 else 1]
    ]
    result = compared(turns, given)
    print(json.dumps(result))
    sys.exit(0 if result["complete"] else 1)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=500, metavar="N", help="of each burst (%(default)d)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of each side (%(default)d)")
    parser.add_argument("--nodes", type=int, default=10, metavar="N", help="pretended nodes (%(default)d)")
    parser.add_argument("--patience", type=float, default=600.0, metavar="S", help="longest wait for a burst")
    given = parser.parse_args()
    given.kubeconfig = None
    return given


def _turn(given: argparse.Namespace, side: str) -> Figures:
    tell(f"{side}: burst of {given.jobs}")
    peer = side == "peer"
    with (
        bench_operator.control_plane(given, *(["--peer"] if peer else [])) as plane,
        tempfile.TemporaryDirectory(prefix="finetune-bench-") as folder,
    ):
        kind = OTHERS.get(side)
        work = (
            _others(given, plane, kind)
            if kind
            else _operated(given, plane, pathlib.Path(folder), PROGRAMS[side])
        )
        figures = asyncio.run(work)
    speed = f"{figures['done_per_second']} done/s, {figures['pods_per_second']} first pods/s"
    cost = f"{figures['cpu_ms_per_job']['kube-apiserver']} ms of the API server per job"
    tell(f"  {speed}, {cost}; others used {figures['neighbours_cores']} cores before")
    return {"side": side, **figures}


async def _others(given: argparse.Namespace, plane: Plane, kind: Kind) -> Figures:
    player = Player(ApiServer(plane.kubeconfig), tell, given.patience, kind)
    return await _burst(player, given.jobs, plane.pids)


async def _operated(
    given: argparse.Namespace, plane: Plane, folder: pathlib.Path, program: tuple[str, ...]
) -> Figures:
    player = Player(ApiServer(plane.kubeconfig), tell, given.patience, FINETUNEJOB)
    async with player.server.session() as session:
        await bench_subject.install(session, plane.helm)
        config = await bench_subject.kubeconfig(session, player.server, folder)
    subject = Subject(config, folder / "operator.log", program=program)
    try:
        await subject.ready()
        return await _burst(player, given.jobs, {**plane.pids, OURS: subject.pid})
    finally:
        subject.stop()


async def _burst(player: Player, count: int, pids: Mapping[str, int]) -> Figures:
    """Some jobs to warm up, then the burst; speeds, latencies and what it cost."""
    async with player.server.session() as session:
        namespace = await new_namespace(session)
        await player.play(session, namespace, [f"w-{number:05d}" for number in range(WARM)])
        await stillness(session, player.patience, tell)
        others = await _neighbours(pids, 3.0)
        namespace = await new_namespace(session)
        cpu, requests = _cpu(pids), await requests_so_far(session)
        seen = await player.play(session, namespace, [f"j-{number:05d}" for number in range(count)])
        spent, sent = _cpu(pids) - cpu, await requests_so_far(session) - requests
        await stillness(session, player.patience, tell)
        in_all, all_sent = _cpu(pids) - cpu, await requests_so_far(session) - requests
    return {
        **latencies(seen),
        **speeds(seen),
        "cpu_ms_per_job": _per_job(spent, count),
        "cpu_ms_per_job_until_still": _per_job(in_all, count),
        "requests_per_job": round(sent.total() / count, 2),
        "requests_per_job_until_still": round(all_sent.total() / count, 2),
        "requests_by_kind": {
            f"{verb} {kind}": round(n / count, 2) for (verb, kind), n in all_sent.most_common(20)
        },
        "rss_mb": {name: round(bench_subject.use_of(pid).rss_mb, 1) for name, pid in pids.items()},
        "neighbours_cores": others,
    }


def _cpu(pids: Mapping[str, int]) -> Counter[str]:
    """CPU milliseconds of each process so far."""
    return Counter({name: round(1000 * bench_subject.use_of(pid).cpu_seconds) for name, pid in pids.items()})


def _per_job(spent: Mapping[str, int], count: int) -> dict[str, float]:
    """Of each process, and of all together."""
    each = {name: round(used / count, 1) for name, used in sorted(spent.items())}
    return {**each, "all": round(sum(spent.values()) / count, 1)}


async def _neighbours(pids: Mapping[str, int], seconds: float) -> float:
    """Cores that others use while we do nothing."""
    busy, own = bench_subject.machine_busy_seconds(), _cpu(pids).total()
    await asyncio.sleep(seconds)
    used = bench_subject.machine_busy_seconds() - busy - (_cpu(pids).total() - own) / 1000
    return round(used / seconds, 2)


def compared(turns: list[Figures], given: argparse.Namespace) -> Figures:
    """The ratios of each round, their median on top; every turn below."""
    sides = {side: [turn for turn in turns if turn["side"] == side] for side in SIDES}

    def ratios(side: str, key: str) -> list[float]:
        return [one[key] / peer[key] for one, peer in zip(sides[side], sides["peer"], strict=True)]

    def rounded(key: str) -> list[float]:
        return [round(ratio, 2) for ratio in ratios("ours", key)]

    def medians(value: Any) -> dict[str, float]:
        return {
            side: round(statistics.median(value(turn) for turn in found), 2) for side, found in sides.items()
        }

    def managers(turn: Figures) -> float:
        used: dict[str, float] = turn["cpu_ms_per_job_until_still"]
        return sum(used.get(name, 0.0) for name in (OURS, *MANAGERS))

    done = rounded("done_per_second")
    return {
        "burst_done_ratio_to_peer": round(statistics.median(done), 2),
        "burst_done_ratios": done,
        "burst_pods_ratios": rounded("pods_per_second"),
        "two_jobs_ratio_to_peer": round(statistics.median(ratios("plain", "done_per_second")) / 2, 2),
        "least_ratio_to_peer": round(statistics.median(ratios("least", "done_per_second")), 2),
        "complete": all(turn["states"] == {"Succeeded": given.jobs} for turn in turns),
        "done_per_second": medians(lambda turn: turn["done_per_second"]),
        "pods_per_second": medians(lambda turn: turn["pods_per_second"]),
        "controllers_cpu_ms_per_job": medians(managers),
        "api_server_cpu_ms_per_job": medians(
            lambda turn: turn["cpu_ms_per_job_until_still"]["kube-apiserver"]
        ),
        "all_cpu_ms_per_job": medians(lambda turn: turn["cpu_ms_per_job_until_still"]["all"]),
        "requests_per_job": medians(lambda turn: turn["requests_per_job_until_still"]),
        "jobs": given.jobs,
        "cpus": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "turns": turns,
    }


if __name__ == "__main__":
    main()

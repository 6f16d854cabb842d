"""Training pods forked from a process that has imported torch and TRL already: all of supervisor and ranks but their imports.

A pod of its own takes 10 s of CPU time, nearly all of it imports; a forked one 2 s. What is left out is `accelerate launch`: the
ranks get the environment that it would give them (tests/unit/finetune_trainer/slow/test_pods.py starts it).
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import trainer_runs
from finetune_trainer import (
    __main__,
    arguments,
    base_model,
    config,
    failpoints,
    fine_tuning,
    outcome,
    process_tree,
    rank,
)
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import Prepared
from finetune_trainer.supervisor import processes, ranks
from finetune_trainer.supervisor.processes import Processes

LOADED = (fine_tuning, *(arguments.imported(trainer) for trainer in arguments.TRAINERS.values()))
"""What the pods need not import any more."""


@dataclass(frozen=True)
class Ended:
    """How a pod ended."""

    code: int
    """Exit code; -9: killed."""
    word: dict[str, Any]
    """The last word; empty where there is none."""
    seconds: float


def prepared(layout: Layout, method: str, *, micro: int, **rows: Any) -> Prepared:
    """A prepared dataset in the work area of the pod's job, for `micro` rows per forward pass.

    `rows`: what `trainer_runs.prepare_by_hand` is told of them.
    """
    run = config.load(layout.run)
    folder = layout.scratch.parent / "prepared"
    facts = base_model.locate(run, layout).facts
    made = trainer_runs.prepare_by_hand(folder, facts=facts, method=method, **rows)
    ready = made.at(micro)
    ready.save(outcome.work_area(run, layout), folder)
    return ready


def start(
    layout: Layout, digest: str | None, *, attempt: int, faults: Sequence[Mapping[str, Any]] = ()
) -> int:
    """Start a training pod with a scratch disk of its own, or without a `digest` a Prepare pod; its pid."""
    shutil.rmtree(layout.scratch, ignore_errors=True)
    layout.termination_log.unlink(missing_ok=True)
    stage = ["train", "--prepared", digest] if digest else ["prepare"]
    pid = os.fork()
    return pid or _pod(layout, [*stage, "--attempt", str(attempt)], faults)


def ended(layout: Layout, pid: int, *, seconds: float = 300.0) -> Ended:
    """Wait for the pod's end; one that does not come in time is killed, and an error."""
    began = time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        passed = time.monotonic() - began
        if done:
            log = layout.termination_log
            word = json.loads(log.read_bytes()) if log.exists() and log.stat().st_size else {}
            return Ended(os.waitstatus_to_exitcode(status), word, passed)
        if passed > seconds:
            process_tree.kill_below(pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError((layout.scratch.parent / "log").read_text())
        time.sleep(0.05)


def _pod(layout: Layout, stage: Sequence[str], faults: Sequence[Mapping[str, Any]]) -> NoReturn:
    """In the child: PID 1."""
    with contextlib.suppress(BaseException):
        _log_to(layout)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ[failpoints.VARIABLE] = json.dumps(list(faults))
        ranks.Processes = Forked  # type: ignore[misc]
        root = str(layout.scratch.parent)
        os._exit(__main__.main([*stage, "--run", str(layout.run), "--layout-root", root, "--port", "0"]))
    os._exit(99)


def _log_to(layout: Layout) -> None:
    log = os.open(layout.scratch.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")


class Forked(Processes):
    """As `Processes`, but forked."""

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        beside: processes.Beside = processes.nobody,
    ) -> "Forked":
        """The ranks of a command: of `accelerate launch`, or the single one that needs no launcher."""
        processes._inherit_orphans()
        told = dict(itertools.pairwise(command))
        count = int(told.get("--num_processes", 1))
        started, starting = os.pipe()
        pid = _forked()
        if not pid:
            os.setsid()
            os.close(starting)
            os.environ.clear()
            os.environ.update(environment)
            if count == 1:
                _rank(told["--task"])
            _torchrun(told, count)
        os.close(starting)
        os.read(started, 1)  # its group is there: whoever tells it to stop is heard
        os.close(started)
        return cls(pid, beside)


def _forked() -> int:
    """A fork that SIGTERM ends, as it ends an interpreter that begins: with our handler it would note it, and go on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return pid


def _rank(task: str) -> NoReturn:
    sys.argv = ["rank", "--task", task]
    code = 1
    try:
        code = rank.main()
    except BaseException:  # noqa: BLE001 - as an interpreter ends
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _torchrun(told: Mapping[str, str], count: int) -> NoReturn:
    """One child per rank; where one fails, the others are told to stop. Its own exit code says nothing, as torchrun's."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the ranks share our group, and are told already
    started: set[int] = set()
    for number in range(count):
        pid = _forked()
        if not pid:
            os.environ |= {
                "RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
                "MASTER_ADDR": told["--main_process_ip"], "MASTER_PORT": told["--main_process_port"],
            }  # fmt: skip
            _rank(told["--task"])
        started.add(pid)
    while started:
        pid, status = os.wait()
        started.discard(pid)
        if status:
            for other in started:
                os.kill(other, signal.SIGTERM)
    os._exit(1)

"""Faults on purpose happen at their moment, to their rank, in their attempt, and nowhere else."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import trainer_runs
from finetune_trainer import errors, failpoints, report
from finetune_trainer.failpoints import Failpoints
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import launch

FULL = {"at": "Checkpoint", "do": "DiskFull"}


def armed(*told: dict, attempt: int = 1, rank: int = 0) -> Failpoints:
    made = Failpoints()
    made.arm({failpoints.VARIABLE: json.dumps(told)}, attempt=attempt, rank=rank)
    return made


def test_nothing_is_armed_by_default():
    nothing = Failpoints()
    nothing.arm({}, attempt=1)
    assert not nothing.armed
    nothing.reach("Step", step=1)


def test_a_full_disk_is_the_kernels_own_error():
    with pytest.raises(OSError, match="No space left on device") as raised:
        armed(FULL).reach("Checkpoint", step=4)
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("told", "reached"),
    [
        (FULL, {"moment": "Upload"}),
        ({**FULL, "step": 3}, {"moment": "Checkpoint", "step": 4}),
        ({**FULL, "rank": 1}, {"moment": "Checkpoint"}),
        ({**FULL, "attempt": 2}, {"moment": "Checkpoint"}),
    ],
)
def test_another_moment_step_rank_or_attempt_is_left_alone(told, reached):
    armed(told).reach(**reached)


def test_a_moment_may_be_made_to_last(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    armed({"at": "Step", "step": 5, "do": "Wait", "seconds": 7}).reach("Step", step=5)
    assert slept == [7]


def test_out_of_memory_is_the_librarys_own_error_and_looks_at_the_batch():
    class OutOfMemoryError(RuntimeError):
        """As torch's."""

    found = armed({"at": "Step", "do": "OutOfMemory", "step": 3, "above": 2})
    found.reach("Step", step=3)  # the step begins: nothing has entered the model
    found.reach("Step", step=3, sequences=2, memory_error=OutOfMemoryError)
    with pytest.raises(OutOfMemoryError, match="CUDA out of memory"):
        found.reach("Step", step=3, sequences=4, memory_error=OutOfMemoryError)


@pytest.mark.parametrize(
    "told", ["{", "{}", "[1]", '[{"at": "Step", "do": "Nothing"}]', '[{"at": "Never", "do": "Kill"}]']
)
def test_what_cannot_be_read_is_refused(told: str):
    with pytest.raises(errors.InternalError, match=failpoints.VARIABLE):
        Failpoints().arm({failpoints.VARIABLE: told}, attempt=1)


def test_a_stage_that_begins_is_a_moment(tmp_path, monkeypatch):
    reached = []
    monkeypatch.setattr(failpoints, "reach", reached.append)
    writer = report.ProgressWriter(tmp_path / "progress.json", attempt=1)
    writer.tell(stage="Fetch")
    writer.tell(message="still")
    writer.tell(stage="Load")
    assert reached == ["Fetch", "Load"]


PROGRAM = """
import os, signal, subprocess, sys, time
from finetune_trainer import failpoints
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
failpoints.arm(os.environ, attempt=1)
failpoints.reach("Load")
"""


@pytest.mark.parametrize(("fault", "code"), [("Kill", -9), ("KillPod", -9), ("Terminate", 75)])
def test_signals(fault: str, code: int):
    environment = {**os.environ, failpoints.VARIABLE: json.dumps([{"at": "Load", "do": fault}])}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE)
    assert process.stdout
    child = int(process.stdout.readline())
    try:
        assert process.wait(timeout=30) == code
        assert alive(child) is (fault != "KillPod")
    finally:
        process.stdout.close()
        if alive(child):
            os.kill(child, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether it runs; what nobody has reaped yet does not."""
    time.sleep(0.2)
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()[:1] not in {"", "Z"}


def test_the_ranks_see_them_and_whom_to_signal():
    run, layout = trainer_runs.run(), Layout.under(trainer_runs.Path("/pod"))
    told = json.dumps([FULL])
    found = launch.environment(run, layout, {failpoints.VARIABLE: told})
    assert (found[failpoints.VARIABLE], found[failpoints.POD]) == (told, str(os.getpid()))
    assert not {failpoints.VARIABLE, failpoints.POD} & launch.environment(run, layout, {}).keys()

"""PID 1 with stand-ins for its ranks: whatever they do, there is an exit code, a valid last word, and nobody left behind."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hub_receiver
import trainer_pods
import trainer_runs
from finetune_trainer import outcome

pytestmark = pytest.mark.slow  # whole pods, some of which must be waited for


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Any]:
    """Start an attempt whose ranks behave as told."""
    with trainer_pods.starting(tmp_path) as start:
        yield start


def test_sigterm_is_forwarded_and_the_checkpoint_sent(pod):
    job = pod("train")
    job.rank_is_training()
    job.sigterm()
    code, word = job.ended()
    assert (code, word["stage"], word["reason"]) == (75, "Train", "Interrupted")
    assert word["message"].startswith(
        "rank 0 Interrupted; the checkpoint of step 7 is at pvc://output/tiny/.finetune/"
    )
    left = ["checkpoints/step-7/checkpoint.json", "checkpoints/step-7/trainer_state.json", "epochs/1"]
    assert job.kept() == left
    assert job.survivors() == []


def test_the_next_attempt_goes_on_from_there(pod):
    job = pod("train")
    job.rank_is_training()
    job.sigterm()
    assert job.ended()[0] == 75
    again = pod("train", attempt=2)
    again.rank_is_training()
    told = json.loads((again.layout.scratch / "ranks/task.json").read_text())
    assert json.loads((Path(told["resume"]) / "trainer_state.json").read_text()) == {"step": 7}
    assert json.loads(again.ask("/progress"))["checkpoint"]["step"] == 7
    again.sigterm()
    again.ended()


def test_progress_is_served_while_the_ranks_work(pod):
    job = pod("train")
    job.rank_is_training()
    told = json.loads(job.ask("/progress"))
    assert (told["stage"], told["attempt"]) == ("Train", 1)
    assert told["step"] > 0
    assert b"finetune_trainer_step " in job.ask("/metrics")
    assert job.ask("/healthz") == b"ok\n"


def test_sigterm_before_the_ranks_begin_costs_nothing(pod):
    job = pod("train")
    job.wait_for(job.layout.state / "port")
    job.sigterm()
    code, word = job.ended()
    assert (code, word["reason"]) == (75, "Interrupted")


def test_a_gang_in_which_nothing_moves_is_killed_and_tried_again(pod):
    job = pod("hang", limits={"stallTimeoutSeconds": 2})
    code, word = job.ended()
    assert (code, word["reason"]) == (70, "Stalled")
    assert "there was no progress for 2 s" in word["message"]
    assert "checkpoints/step-3/checkpoint.json" in job.kept()
    assert job.survivors() == []


def test_who_ignores_sigterm_is_killed_before_the_pod_is(pod):
    job = pod("hang", limits={"gracePeriodSeconds": 8})
    job.rank_is_training()
    job.sigterm()
    code, word = job.ended(seconds=20)
    assert (code, word["reason"]) == (75, "Interrupted")
    assert "no checkpoint was finished within the grace period" in word["message"]
    assert job.survivors() == []


GRACE = 8


def test_an_upload_that_never_ends_is_left_behind_before_the_pod_is_killed(pod):
    """The bucket has stopped answering; the checkpoint before it stands."""
    job = pod("train", limits={"gracePeriodSeconds": GRACE}, fault={"at": "Upload", "do": "Hang"})
    job.rank_is_training()
    began = time.monotonic()
    job.sigterm()
    code, word = job.ended(seconds=GRACE)
    assert (code, word["reason"]) == (75, "Interrupted")
    assert time.monotonic() - began > GRACE / 2, "it was not tried for long"
    assert "checkpoint of step" not in word["message"]
    assert job.kept() == ["checkpoints/step-7/trainer_state.json", "epochs/1"]
    assert job.survivors() == []


def test_a_download_that_hears_no_signal_is_left_behind_too(pod):
    """A library that never comes back: Python runs no handler then."""
    job = pod("train", limits={"gracePeriodSeconds": GRACE}, fault={"at": "Fetch", "do": "Hang"})
    job.wait_for(job.layout.progress)
    time.sleep(1)
    job.sigterm()
    code, word = job.ended(seconds=GRACE)
    assert (code, word["reason"]) == (75, "Interrupted")
    assert "did not finish within the grace period" in word["message"]


def test_a_killed_rank_is_tried_again(pod):
    code, word = pod("killed").ended()
    assert (code, word["reason"]) == (70, "RankDied")
    assert "exit codes seen: 137" in word["message"]


def test_a_final_failure_is_kept_and_told_again(pod):
    job = pod("refused")
    code, word = job.ended()
    assert (code, word["reason"], word["message"]) == (64, "NonFiniteLoss", "rank 0 NonFiniteLoss")
    assert job.kept() == ["epochs/1", "outcome.json"]
    again = pod("refused", attempt=2)
    assert again.ended() == (64, word)
    assert not (again.layout.scratch / "ranks").exists()


def test_what_the_gate_keeps_back_is_kept_and_not_published(pod):
    job = pod("gated")
    code, word = job.ended()
    assert (code, word["reason"]) == (65, "GateNotMet")
    uri = f"pvc://output/tiny/.finetune/{trainer_runs.JOB['uid']}/unpublished"
    assert word["message"] == f"rank 0 GateNotMet; what was trained is kept at {uri}, with its report.html"
    assert word["result"]["unpublished"] == {"uri": uri}
    assert word["result"]["evaluation"]["tuned"] == {"loss": 2.5, "other": {}}
    assert "adapter" not in word["result"]
    assert job.kept() == ["epochs/1", "outcome.json", "unpublished/adapter_model.safetensors"]
    assert not (job.layout.claims / "output/tiny" / outcome.MANIFEST).exists()
    assert pod("gated", attempt=2).ended() == (65, word)


def test_a_pod_that_ends_while_the_hub_hangs_has_published(pod):
    hub = hub_receiver.Hub(refusing={"/repos/create": 0})
    with hub_receiver.serving(hub) as endpoint:
        asked = {"output": {"hub": {"repo": "org/tiny"}}, "hub": {"endpoint": endpoint, "offline": False}}
        job = pod("done", limits={"gracePeriodSeconds": 4}, **asked)
        deadline = time.monotonic() + 120
        while not hub.asked:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        job.sigterm()
        code, word = job.ended(seconds=20)
    assert (code, word["reason"]) == (0, "Published")
    assert word["result"]["hub"]["reason"] == "Interrupted"
    raw = (job.layout.claims / "output/tiny" / outcome.MANIFEST).read_bytes()
    assert word["result"]["adapter"]["digest"] == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert job.kept() == []


def test_a_rank_that_has_spoken_but_does_not_go_is_helped(pod):
    code, word = pod("linger").ended(seconds=20)
    assert (code, word["reason"]) == (86, "OutOfMemory")


def test_out_of_memory_goes_on_with_half_the_rows_in_the_same_attempt_and_the_next_pod_remembers(pod):
    job = pod("hungry")
    job.wait_for(job.layout.scratch / "starts")
    deadline = time.monotonic() + 120
    while job.starts() != ["2 False", "1 True"]:
        assert time.monotonic() < deadline, job.starts()
        time.sleep(0.05)
    job.rank_is_training()
    told = json.loads(job.ask("/progress"))
    assert (told["microBatchSize"], told["outOfMemory"], told["checkpoint"]["step"]) == (1, 1, 4)
    job.sigterm()
    code, word = job.ended()
    assert (code, word["reason"]) == (75, "Interrupted")
    assert word["result"]["resolved"] == {"microBatchSize": 1, "outOfMemory": 1}
    assert "micro-batch.json" in job.kept()
    again = pod("hungry", attempt=2)
    again.rank_is_training()
    assert again.starts() == ["1 True"]
    again.sigterm()
    assert again.ended()[1]["result"]["resolved"] == {"microBatchSize": 1, "outOfMemory": 1}


def test_out_of_memory_with_one_row_is_final(pod):
    job = pod("starved")
    code, word = job.ended()
    assert (code, word["reason"]) == (86, "OutOfMemory")
    assert word["result"]["resolved"] == {"microBatchSize": 1, "outOfMemory": 1}
    assert "outcome.json" in job.kept()


def test_weights_that_do_not_fit_are_not_tried_again(pod):
    job = pod("overloaded")
    assert job.ended()[0] == 86
    assert job.starts() == ["again"]


def test_a_rank_outlives_its_launcher_and_is_waited_for(pod):
    code, word = pod("orphan").ended()
    assert (code, word["reason"]) == (64, "NonFiniteLoss")


def test_a_dataset_that_is_gone_is_told(pod, tmp_path):
    job = pod("refused")
    job.ended()
    (job.layout.claims / "output/tiny/.finetune" / trainer_runs.JOB["uid"] / outcome.OUTCOME).unlink()
    command = [
        *(sys.executable, "-m", "finetune_trainer", "train", "--run", str(job.layout.run), "--attempt", "3"),
        *("--prepared", "sha256:" + "0" * 64, "--layout-root", str(tmp_path / "pod"), "--port", "0"),
    ]
    assert subprocess.run(command, check=False).returncode == 70
    word = json.loads(job.layout.termination_log.read_bytes())
    assert word["message"].startswith("the prepared dataset is gone: pvc://output/tiny/.finetune/")


@pytest.mark.slow
def test_two_ranks_below_torchrun_are_told_both(pod):
    job = pod("train", resources={"processesPerNode": 2})
    job.rank_is_training(ranks=2)
    job.sigterm()
    code, word = job.ended()
    assert (code, word["reason"]) == (75, "Interrupted")
    assert job.survivors() == []


@pytest.mark.slow
def test_the_rank_that_knows_why_speaks_for_the_two_below_torchrun(pod):
    job = pod("split", resources={"processesPerNode": 2})
    code, word = job.ended()
    assert (code, word["reason"], word["message"]) == (64, "NonFiniteLoss", "rank 1 NonFiniteLoss")
    assert job.survivors() == []

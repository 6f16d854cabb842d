"""Trackers that hang, refuse, die or are not there: the run ends as it would without them, in time, and a sentence says so.

Real libraries against servers of our own, or a stand-in that hears nothing; the ranks are played (trainer_fake_rank).
"""

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

import trainer_pods
import trainer_runs
import web_server
from trainer_processes import ran

pytestmark = pytest.mark.slow  # whole pods, and servers that are waited for

GRACE = 8
WANDB = {"project": "p", "credentialsSecretRef": {"name": "wandb"}}
SECRETS = {"wandb": {"WANDB_API_KEY": "0123456789" * 4}}


@pytest.fixture
def pod(tmp_path) -> Iterator[Any]:
    with trainer_pods.starting(tmp_path) as start:
        yield start


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts every connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def warnings(pod: trainer_pods.Pod, seconds: float = 60.0) -> list[str]:
    """What /progress warns of, once it does."""
    deadline = time.monotonic() + seconds
    while not (found := json.loads(pod.ask("/progress")).get("warnings")):
        assert time.monotonic() < deadline, "no warning came"
        time.sleep(0.2)
    return found


def test_servers_that_never_answer_neither_fail_nor_delay_a_run(pod, silent):
    job = pod(
        "done",
        secrets=SECRETS,
        tracker_seconds=3,
        tracking={"wandb": {**WANDB, "baseUrl": silent}, "mlflow": {"trackingUri": silent}},
    )
    began = time.monotonic()
    code, word = job.ended()
    assert (code, word["reason"]) == (0, "Published")
    assert time.monotonic() - began < 30
    assert word["message"].endswith("; some figures did not reach a tracker (status.progress.warnings)")
    left_behind = r"(\w+|W&B): did not accept all figures within (\d+) s after training, so some are missing there; metrics.*"
    told = [re.fullmatch(left_behind, one) for one in word["result"]["progress"]["warnings"]]
    assert [one and one[1] for one in told] == ["W&B", "MLflow"]
    assert all(one and 3 <= int(one[2]) < 30 for one in told)  # as long as it really was
    assert job.survivors() == []


def test_sigterm_with_trackers_that_hear_nothing_is_answered_in_time(pod):
    job = pod(
        "train",
        tracker="trainer_deaf_tracker",
        limits={"gracePeriodSeconds": GRACE},
        tracking={"mlflow": {"trackingUri": "http://127.0.0.1:9"}},
    )
    job.rank_is_training()
    job.wait_for(job.layout.state / "trackers/mlflow/pid-child")
    job.sigterm()
    code, word = job.ended(seconds=GRACE)
    assert (code, word["reason"]) == (75, "Interrupted")
    assert "the checkpoint of step 7 is at" in word["message"]
    assert job.survivors() == []


def test_a_rank_that_dies_is_told_with_its_own_exit_code_alone(pod):
    """The tracker's process is a child of the same supervisor, and no reason to wait."""
    job = pod(
        "killed", tracker="trainer_deaf_tracker", tracking={"mlflow": {"trackingUri": "http://127.0.0.1:9"}}
    )
    code, word = job.ended(seconds=60)
    assert (code, word["reason"]) == (70, "RankDied")
    assert "(exit codes seen: 137)" in word["message"]
    assert job.survivors() == []


def test_ranks_begin_again_beside_a_tracker_that_hears_nothing(pod):
    """Out of memory: the same pod, the same tracker, another gang."""
    job = pod(
        "hungry", tracker="trainer_deaf_tracker", tracking={"mlflow": {"trackingUri": "http://127.0.0.1:9"}}
    )
    job.wait_for(job.layout.scratch / "starts")
    deadline = time.monotonic() + 60
    while job.starts() != ["2 False", "1 True"]:
        assert time.monotonic() < deadline, job.starts()
        time.sleep(0.05)
    job.rank_is_training()
    job.sigterm()
    assert job.ended()[0] == 75
    assert job.survivors() == []


def test_what_the_gate_keeps_back_keeps_its_files(pod):
    job = pod("gated", tracking={"tensorboard": {}})
    code, word = job.ended()
    assert (code, word["reason"]) == (65, "GateNotMet")
    assert len([name for name in job.kept() if name.startswith("unpublished/tensorboard/")]) == 1


def test_a_tracker_that_dies_is_told_while_training_goes_on(pod):
    job = pod("train", tracker="no_such_program", tracking={"mlflow": {"trackingUri": "http://127.0.0.1:9"}})
    job.rank_is_training()
    assert warnings(job) == ["MLflow: its process has died; the run goes on without it"]
    job.sigterm()
    assert job.ended()[0] == 75


def test_a_refused_key_is_told_and_never_the_key(pod):
    with web_server.answering(401, b'{"error_code": "UNAUTHENTICATED", "message": "no"}') as server:
        job = pod(
            "train",
            secrets={**SECRETS, "mlflow": {"MLFLOW_TRACKING_TOKEN": "very-secret"}},
            tracking={
                "wandb": {**WANDB, "baseUrl": server},
                "mlflow": {"trackingUri": server, "credentialsSecretRef": {"name": "mlflow"}},
            },
        )
        job.rank_is_training()
        deadline = time.monotonic() + 60
        while len(found := warnings(job)) < 2:
            assert time.monotonic() < deadline, found
            time.sleep(0.5)
        job.sigterm()
        code, word = job.ended()
    assert code == 75
    assert [one.partition(":")[0] for one in found] == ["W&B", "MLflow"]
    assert all(one.endswith("; the run goes on without it") for one in found)
    said = json.dumps([found, word])
    assert "401" in found[0]
    assert "UNAUTHENTICATED" in found[1]
    assert "very-secret" not in said
    assert SECRETS["wandb"]["WANDB_API_KEY"] not in said


def test_a_secret_that_is_not_there_is_named_and_nothing_is_waited_for(pod):
    job = pod("done", tracking={"wandb": WANDB})
    code, word = job.ended()
    assert (code, word["reason"]) == (0, "Published")
    (found,) = word["result"]["progress"]["warnings"]
    assert found == (
        "spec.tracking.wandb.credentialsSecretRef: the Secret 'wandb' does not exist in the job's namespace, or holds none of "
        "WANDB_API_KEY; nothing is sent to this tracker"
    )


def test_prepare_names_it_before_a_gpu_is_taken(tmp_path):
    layout = trainer_runs.pod(tmp_path / "pod", tracking={"wandb": WANDB})
    word = ran(layout, "prepare", "--attempt", "1")
    assert word["reason"] == "Prepared"
    assert "; spec.tracking.wandb.credentialsSecretRef: the Secret 'wandb' does not exist" in word["message"]


def test_a_server_that_nobody_listens_at_is_told(pod):
    job = pod("train", tracking={"mlflow": {"trackingUri": "http://127.0.0.1:9"}})
    job.rank_is_training()
    (found,) = warnings(job)
    assert found.startswith("MLflow: ")
    assert "127.0.0.1" in found
    job.sigterm()
    assert job.ended()[0] == 75


def test_what_becomes_files_lies_beside_the_result_with_nothing_else(pod):
    """No log of a library, no path of the pod."""
    job = pod("done", tracking={"tensorboard": {}, "wandb": {"project": "p", "mode": "Offline"}})
    code, word = job.ended()
    assert (code, "warnings" in word["result"]["progress"]) == (0, False), word
    lying = job.layout.claims / "output/tiny"
    assert [path.name for path in (lying / "wandb").iterdir()] == [
        "run-6f1c9a52-7a53-4f0e-9d55-0c3d5a8b7e10.wandb"
    ]
    (events,) = (lying / "tensorboard").iterdir()
    for path in (events, *(lying / "wandb").iterdir()):
        assert str(job.layout.scratch).encode() not in path.read_bytes()

"""Two nodes train one adapter over gloo, as their pods do: real supervisors, real ranks, one storage, two disks."""

import time
from typing import Any

import pytest

import trainer_runs
from trainer_gangs import Gang
from trainer_processes import ran, slow_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 24
CHANGES: dict[str, Any] = {
    "training": {"maxSteps": STEPS},
    "checkpoint": {"everySteps": 6, "keep": 10},
    "resources": {"nodes": 2},
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Gangs that start from one Prepare."""
    layout = trainer_runs.pod(tmp_path_factory.mktemp("prepare") / "pod", **CHANGES)
    digest = ran(layout, "prepare", "--attempt", "1")["result"]["dataset"]["digest"]
    made: list[Gang] = []

    def make(**more: Any) -> Gang:
        made.append(Gang(layout, tmp_path_factory.mktemp("gang"), digest, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def undisturbed(make) -> Gang:
    gang = make()
    gang.start()
    assert gang.ends() == [(0, "Published"), (0, "Trained")]
    return gang


def weights(gang: Gang) -> bytes:
    return (gang.output / "adapter_model.safetensors").read_bytes()


def wait_for_checkpoint(gang: Gang) -> None:
    deadline = time.monotonic() + 240
    while not gang.saved():
        assert all(pod.poll() is None for pod in gang.pods), "ended too early to prove anything"
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.2)


def test_node_0_publishes_and_the_other_is_done(undisturbed):
    assert undisturbed.said(0)["result"]["progress"]["step"] == STEPS
    assert "result" not in undisturbed.said(1)
    assert not (undisturbed.output / ".finetune").exists()


def test_one_killed_node_ends_both_as_interrupted_and_the_next_attempt_gives_the_same_adapter(
    make, undisturbed
):
    gang = make()
    gang.start(**slow_steps(STEPS, 0.5))
    wait_for_checkpoint(gang)
    gang.kill(1)
    assert gang.ends()[0] == (75, "PeerLost")
    gang.start()
    assert gang.ends() == [(0, "Published"), (0, "Trained")]
    assert weights(gang) == weights(undisturbed)


def test_sigterm_to_one_node_makes_one_checkpoint_of_all_and_ends_both(make, undisturbed):
    gang = make()
    gang.start(**slow_steps(STEPS, 0.5))
    wait_for_checkpoint(gang)
    before = gang.saved()
    told = time.monotonic()
    gang.pods[1].terminate()
    assert gang.ends() == [(75, "Interrupted"), (75, "Interrupted")]
    assert time.monotonic() - told < 30, "later than the grace period"
    assert gang.said(0)["result"]["checkpoint"]["step"] > int(before[-1].removeprefix("step-"))
    gang.start()
    assert gang.ends() == [(0, "Published"), (0, "Trained")]
    assert weights(gang) == weights(undisturbed)


def test_a_node_whose_peer_does_not_come_says_so_in_bounded_time(make):
    gang = make(silence=5.0)
    gang.start(nodes=(0,))
    assert gang.ends() == [(69, "PeerMissing")]
    assert "node 1 did not join" in gang.said(0)["message"]

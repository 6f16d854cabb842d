"""Kueue, as stories: with it, without it, and when it comes later."""

import pytest

from fake_api_server import Fault
from fake_kubelet import Ends, happy
from fake_kueue import PREEMPTED, WHY, FakeKueue
from kube_objects import published
from operator_lab import until


@pytest.fixture
def kueue(lab):
    return FakeKueue(lab.server, lab.kubelet)


def states_of(lab):
    """Every state that the status has had, in order."""
    found = []

    def note(plural, _, one):
        state = one.get("status", {}).get("state") if plural == "finetunejobs" else None
        if state and found[-1:] != [state]:
            found.append(state)

    lab.server.listeners.append(note)
    return found


async def test_a_preempted_job_saves_waits_and_goes_on_in_the_same_job(lab, kueue):
    kueue.install()
    runs = iter([Ends(after=None), Ends(0, published(), after=1.1)])  # time stamps count seconds
    lab.kubelet.script = lambda stage, attempt: happy(stage, attempt) if stage == "prepare" else next(runs)
    states = states_of(lab)
    await lab.start()
    lab.create(scheduling={"queueName": "team-a"})
    await until(lambda: lab.condition("Queued").get("reason") == "Pending")
    assert WHY in lab.condition("Queued")["message"]
    kueue.admit()
    await until(lambda: lab.condition("Running").get("status") == "True")

    kueue.preempt()

    await until(
        lambda: [one.get("reason") for one in lab.status()["attempts"]] == ["Prepared", "Preempted", None]
    )
    first, second = lab.status()["attempts"][1:]
    assert first["outcome"] == "Interrupted"
    assert first["exitCode"] == 75
    assert first["message"].startswith(PREEMPTED)
    assert "checkpoint saved" in first["message"]
    assert second["resumes"] == 1
    kueue.admit()
    status = await lab.settled()
    assert status["state"] == "Succeeded"
    assert "failures" not in status
    assert lab.jobs("train") == ["train-1"]
    told = [state for state in states if state != "Starting"]  # passed over where its pod is quick
    assert told == ["Preparing", "Queued", "Running", "Queued", "Running", "Succeeded"]
    assert not patches(lab), "whoever holds a Job back is the only one that writes it"


async def test_kueue_that_is_installed_later_is_noticed_and_one_that_is_removed_too(lab, kueue):
    operator = await lab.start()
    assert operator.kueue.workloads is None
    lab.kubelet.script = lambda stage, attempt: (
        Ends(after=None) if stage == "train" else happy(stage, attempt)
    )
    kueue.install()
    lab.create(scheduling={"queueName": "team-a"})
    await until(lambda: lab.condition("Queued").get("status") == "True")
    assert lab.condition("Queued")["reason"] == "Queued"
    await operator.kueue.ask()
    await until(lambda: lab.condition("Queued")["reason"] == "Pending")
    kueue.says(kueue.training(), QuotaReserved=("False", "Inadmissible", "ClusterQueue gpus is inactive"))
    await until(lambda: lab.condition("Ready")["reason"] == "Inadmissible")

    lab.server.absent.add("kueue.x-k8s.io")
    lab.server.cut_watches()
    await operator.kueue.ask()

    await until(lambda: lab.condition("Queued")["reason"] == "Queued")
    kueue.admit()
    await until(lambda: lab.condition("Running").get("status") == "True")


async def test_who_may_not_read_workloads_tells_what_the_job_tells(lab, kueue):
    kueue.install()
    lab.server.faults.append(Fault("LIST", "workloads", 403, times=100))
    await lab.start()
    lab.create(scheduling={"queueName": "team-a"})
    await until(lambda: lab.condition("Queued").get("status") == "True")
    assert lab.condition("Queued")["reason"] == "Queued"
    kueue.admit()
    assert (await lab.settled())["state"] == "Succeeded"


def patches(lab):
    """Everything that the operator wrote to Jobs after it had made them."""
    return [one for one in lab.server.requests if one.verb == "PATCH" and one.plural == "jobs"]

"""How jobs end, told through a real watch, real requests and a real status."""

import asyncio

import pytest

import kube_objects
from fake_api_server import Fault
from fake_kubelet import Ends, happy
from kube_objects import word
from operator_lab import until


def ending(stage, *ends):
    """The attempts of `stage` end like this, one after the other; all else is happy."""

    def script(which, attempt):
        return ends[attempt - 1] if which == stage and attempt <= len(ends) else happy(which, attempt)

    return script


FINAL = {
    64: "line 7 of s3://team-a/tickets.jsonl is no JSON",
    65: "loss 2.1 is above the gate's 2.0",
    77: "the bucket refused the key",
    86: "needs 90 GiB",
}


@pytest.mark.parametrize("exit_code", FINAL)
@pytest.mark.parametrize("stage", ["prepare", "train"])
async def test_a_final_exit_code_ends_the_job_with_the_trainers_sentence(lab, stage, exit_code):
    lab.kubelet.script = ending(
        stage, Ends(exit_code, word(stage.capitalize(), "SomeReason", FINAL[exit_code]))
    )
    await lab.start()
    lab.create()
    status = await lab.settled()
    assert status["state"] == "Failed"
    assert lab.condition("Stalled")["message"] == FINAL[exit_code]
    assert lab.jobs() == (["prepare-1"] if stage == "prepare" else ["prepare-1", "train-1"])


@pytest.mark.parametrize("exit_code", [69, 75, 1])
@pytest.mark.parametrize("stage", ["prepare", "train"])
async def test_another_attempt_follows_where_it_can_help(lab, stage, exit_code):
    last = word(stage.capitalize(), "SomeReason", "said")
    lab.kubelet.script = ending(stage, Ends(exit_code, last), Ends(exit_code, last))
    await lab.start()
    lab.create()
    status = await lab.settled()
    assert status["state"] == "Succeeded"
    assert lab.jobs(stage) == [f"{stage}-1", f"{stage}-2", f"{stage}-3"]
    assert status.get("failures", 0) == (2 if (stage, exit_code) == ("train", 1) else 0)
    assert lab.kubelet.most_live_training == 1


async def test_exit_0_without_a_last_word_is_not_a_success(lab):
    lab.kubelet.script = ending("train", *[Ends(0, message="bye")] * 3)
    await lab.start()
    lab.create()
    status = await lab.settled()
    assert status["state"] == "Failed"
    assert lab.condition("Succeeded")["reason"] == "NoLastWord"
    assert status["failures"] == 3


REFUSED = {
    "registry": (
        {"model": {"uri": "oci://registry/model"}},
        "NotYetSupported",
        "spec.model.uri: oci://registry/model is not supported yet; hf://",
    ),
    "climbing": ({"model": {"uri": "pvc://models/../../etc"}}, "SpecInvalid", "spec.model.uri"),
    "service account": ({"serviceAccountName": "robot"}, "PolicyDenied", "allowed.serviceAccounts: none"),
    "remote code": ({"model": {"trustRemoteCode": True}}, "NotYetSupported", "spec.model.trustRemoteCode"),
    "too many samples": (
        {"evaluation": {"samples": ["x" * 8192] * 64}, "model": {"chatTemplate": "y" * 32000}},
        "RunTooLarge",
        "spec.evaluation.samples",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_job_that_cannot_run_is_told_and_starts_nothing(lab, case):
    spec, reason, sentence = REFUSED[case]
    await lab.start()
    lab.create(**spec)
    await lab.settled()
    assert lab.condition("Accepted")["reason"] == reason
    assert sentence in lab.condition("Accepted")["message"]
    assert lab.condition("Stalled")["status"] == "True"
    assert lab.jobs() == []
    assert lab.server.all("pods") == []


async def test_a_profile_decides_and_may_come_later(lab):
    await lab.start()
    lab.create(profile="strict", output={"uri": "s3://elsewhere/x"})
    lab.create("good", profile="strict")
    await until(lambda: lab.condition("Accepted").get("reason") == "ProfileNotFound")
    lab.server.put(
        "finetuneprofiles",
        kube_objects.fine_tune_profile("strict", allowed={"outputs": ["s3://{namespace}/adapters"]}),
    )
    await lab.settled()
    assert lab.condition("Accepted")["reason"] == "PolicyDenied"
    assert "s3://team-a/adapters" in lab.condition("Accepted")["message"]
    assert (await lab.settled("good"))["profile"] == {"name": "strict", "generation": 1}


PENDING = {
    "ImagePullFailed": kube_objects.pod_status(waiting=("ErrImagePull", "not found")),
    "Unschedulable": kube_objects.pod_status(unschedulable="0/1 nodes are available: 1 Insufficient memory."),
    "CreateContainerFailed": kube_objects.pod_status(waiting=("CreateContainerError", "no such file")),
}


@pytest.mark.parametrize("reason", PENDING)
async def test_a_pod_that_cannot_start_is_told(lab, reason):
    lab.kubelet.script = lambda *_: PENDING[reason]
    await lab.start()
    lab.create()
    await until(lambda: lab.condition("Running").get("reason") == reason)
    assert "the Prepare pod cannot start" in lab.condition("Ready")["message"]


async def test_a_quota_is_told_from_the_events_of_the_job(lab):
    lab.kubelet.script = lambda *_: None
    lab.kubelet._run = lambda _: asyncio.sleep(0)
    await lab.start()
    lab.create()
    await until(lambda: lab.server.all("jobs"))
    job = lab.server.all("jobs")[0]["metadata"]
    event = {
        "metadata": {"name": "e1", "namespace": "team-a"},
        "involvedObject": {"uid": job["uid"]},
        "type": "Warning",
        "reason": "FailedCreate",
        "message": "pods is forbidden: exceeded quota: compute, requested: memory=4Gi",
    }
    lab.server.put("events", event)
    await until(lambda: lab.condition("Running").get("reason") == "QuotaExceeded")


async def test_a_spec_that_makes_an_invalid_object_ends_in_the_servers_words(lab):
    lab.server.faults.append(Fault("POST", "jobs", 422, message="nodeSelector: Invalid value"))
    await lab.start()
    lab.create()
    assert (await lab.settled())["state"] == "Failed"
    assert lab.condition("Stalled")["reason"] == "SpecInvalid"
    assert "nodeSelector: Invalid value" in lab.condition("Stalled")["message"]
    assert lab.jobs() == []


async def test_a_refused_create_is_told_in_the_servers_words_and_tried_again(lab):
    lab.server.faults.append(Fault("POST", "jobs", 403, times=2, message="admission says no to team-a"))
    operator = await lab.start()
    lab.create()
    await until(lambda: lab.condition("Running").get("reason") == "ApiDenied")
    assert "admission says no" in lab.condition("Ready")["message"]
    lab.server.faults.clear()
    operator.sync.enqueue()
    assert (await lab.settled())["state"] == "Succeeded"


async def test_a_status_that_the_api_server_refuses_is_told_by_an_event(lab):
    lab.server.faults.append(Fault("PATCH", "finetunejobs", 422, message="status.usage.cost: Invalid value"))
    await lab.start()
    lab.create()
    assert (await lab.settled())["state"] == "Succeeded"
    told = [one["message"] for one in lab.server.all("events") if one["reason"] == "StatusRefused"]
    assert told == [
        (
            "the API server refuses this job's status: status.usage.cost: Invalid value; "
            "ask the cluster's admin whether the CRDs are those of this operator"
        )
    ]

"""A job's life, where it is unusual: suspended at any stage, out of memory or scratch, stalled, its status wiped."""

import pytest

from kube_objects import fine_tune_profile, prepared, published, saved, word
from simulation import Simulation, prepared_job, stamp

STAGES = ("Pending", "Preparing", "Queued", "Starting", "Running", "between attempts")
DAY = 86400


def at(stage, **spec):
    """A job that has come as far as `stage`."""
    if stage == "Pending":
        sim = Simulation(profile="late", **spec)
        sim.step()
        return sim
    if stage == "Preparing":
        sim = Simulation(**spec)
        sim.step()
        sim.runs("prepare", 1, running=True)
        sim.step()
        return sim
    sim = prepared_job(**spec)
    if stage == "Queued":
        sim.job("train", 1)["spec"]["suspend"] = True
    if stage in {"Running", "between attempts"}:
        sim.runs("train", 1, running=True)
        sim.step()
    if stage == "between attempts":
        sim.ends("train", 1, 1)
    sim.step()
    return sim


def suspend(sim, *, on):
    sim.raw["spec"]["runPolicy"] = {**sim.raw["spec"]["runPolicy"], "suspend": on}
    sim.raw["metadata"]["generation"] += 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_is_suspended_at_any_stage_and_goes_on_from_there(stage):
    sim = at(stage, runPolicy={"pendingDeadlineSeconds": 3600})
    made = list(sim.created)
    suspend(sim, on=True)
    sim.rest()
    assert sim.status["state"] == "Suspended"
    assert sim.said("Reconciling") == ("True", "Suspended")
    assert not sim.live()
    sim.passes(DAY)
    sim.rest()
    assert sim.status["state"] == "Suspended"
    assert sim.created == made
    suspend(sim, on=False)
    sim.profiles["late"] = fine_tune_profile("late")
    sim.step()
    assert sim.status["state"] in {"Preparing", "Starting"}
    assert sim.said("Suspended") == ("False", "Resumed")
    assert len(sim.created) == len(made) + 1
    if stage == "between attempts":
        assert sim.status["failures"] == 1
    else:
        assert "failures" not in sim.status


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_is_deleted_at_any_stage_and_nothing_more_is_done(stage):
    sim = at(stage)
    made = list(sim.created)
    sim.raw["metadata"]["deletionTimestamp"] = stamp(sim.now)
    sim.passes(DAY)
    assert sim.step().rule == "deleting"
    assert sim.created == made


def test_out_of_memory_is_told_with_the_estimate():
    sim = Simulation()
    sim.step()
    last = prepared()
    last["result"]["estimate"] = {"gpuMemoryBytes": 19_220_000_000}
    sim.ends("prepare", 1, 0, last)
    sim.step()
    sim.ends("train", 1, 86, word("Train", "OutOfMemory", "the GPU has too little memory; lower maxLength"))
    sim.step()
    assert sim.said("Stalled") == ("True", "OutOfMemory")
    assert sim.condition("Stalled")["message"] == (
        "the GPU has too little memory; lower maxLength (the estimate was 17.9 GiB for each GPU; see status.estimate)"
    )


def test_a_stalled_run_costs_an_attempt_and_goes_on_from_its_checkpoint():
    sim = at("Running", runPolicy={"maxAttempts": 2})
    told = word("Train", "Stalled", "nothing moved for 900 s; the ranks were killed")
    sim.ends("train", 1, 70, {**told, "result": saved(40, stamp(sim.now))["result"]})
    decision = sim.step()
    assert decision.rule == "pausing"
    assert sim.said("Ready") == ("False", "Stalled")
    assert (sim.status["failures"], sim.status["checkpoint"]["step"]) == (1, 40)
    sim.passes(decision.requeue_after)
    sim.step()
    sim.ends("train", 2, 70, told)
    sim.step()
    assert sim.said("Stalled") == ("True", "Stalled")
    assert "2 of 2" in sim.condition("Stalled")["message"]


OVERFLOWS = (
    'Usage of EmptyDir volume "scratch" exceeds the limit "10Gi". ',
    "Pod ephemeral local storage usage exceeds the total limit of containers 10Gi. ",
)


@pytest.mark.parametrize("message", OVERFLOWS)
@pytest.mark.parametrize(("stage", "code"), [("prepare", 137), ("train", 137), ("train", 75)])
def test_a_pod_that_outgrows_its_scratch_is_not_started_again_for_nothing(message, stage, code):
    sim = at("Running" if stage == "train" else "Preparing")
    sim.ends(stage, 1, code, disrupted="TerminationByKubelet", evicted=message)
    sim.step()
    assert sim.said("Stalled") == ("True", "ScratchExceeded")
    assert "raise spec.resources.scratch" in sim.condition("Stalled")["message"]
    assert message.strip() in sim.condition("Stalled")["message"]


def test_a_node_that_runs_out_of_disk_is_no_fault_of_the_job_and_the_kubelet_is_quoted():
    sim = at("Running")
    said = "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 8Gi. "
    sim.ends("train", 1, 137, disrupted="TerminationByKubelet", evicted=said)
    sim.step()
    assert sim.created[-1] == "train-2"
    ended = sim.status["attempts"][1]
    assert (ended["outcome"], ended["reason"]) == ("Interrupted", "Evicted")
    assert said.strip() in ended["message"]


def test_a_wiped_status_asks_no_profile_of_now_about_a_run_of_then():
    sim = at("Running", profile="default", profiles={"default": fine_tune_profile()})
    sim.cached_run = None
    sim.raw["status"] = {"observedGeneration": -1}
    sim.profiles["default"] = fine_tune_profile(generation=2, allowed={"outputs": ["s3://elsewhere"]})
    sim.step()
    assert sim.status["state"] == "Running"
    assert sim.status["profile"] == {"name": "default", "generation": 1}


def test_a_wiped_status_waits_for_no_profile_that_is_gone():
    sim = at("Running", profile="default", profiles={"default": fine_tune_profile()})
    sim.cached_run, sim.profiles = None, {}
    sim.raw["status"] = {"observedGeneration": -1}
    sim.step()
    assert sim.status["state"] == "Running"


@pytest.mark.parametrize("time", ["yesterday", "2026-11-22", "2026-11-22T10:00:00", "2026-13-01T10:00:00Z"])
def test_a_time_that_the_api_server_would_refuse_is_not_written(time):
    sim = at("Running")
    sim.polled({"version": 1, "stage": "Train", "step": 7, "totalSteps": 50, "updatedAt": time})
    sim.step()
    assert sim.status["progress"]["step"] == 7
    assert "updatedAt" not in sim.status["progress"]


@pytest.mark.parametrize("time", ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.123456+01:00"])
def test_a_time_that_it_takes_is(time):
    sim = at("Running")
    sim.polled({"version": 1, "stage": "Train", "step": 7, "totalSteps": 50, "updatedAt": time})
    sim.step()
    assert sim.status["progress"]["updatedAt"] == time


def test_a_job_that_its_queue_let_go_is_not_queued_though_its_pod_cannot_start():
    sim = at("Queued")
    assert sim.said("Queued") == ("True", "Queued")
    sim.job("train", 1)["spec"]["suspend"] = False
    sim.runs("train", 1, unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    sim.passes(60)
    sim.step()
    assert sim.said("Ready") == ("False", "Unschedulable")
    assert sim.said("Queued") == ("False", "Admitted")


def test_a_job_whose_queued_attempt_was_deleted_is_not_queued():
    sim = at("Queued")
    sim.runs("train", 1, running=True)
    sim.deletes("train", 1, with_pod=False)
    sim.step()
    assert sim.said("Ready") == ("False", "Ending")
    assert sim.said("Queued") is None


def test_a_pod_that_ended_well_and_is_gone_before_it_was_heard_costs_no_attempt():
    sim = at("Running")
    sim.ends("train", 1, 0, published())
    sim.pods = {name: pod for name, pod in sim.pods.items() if "-train-" not in name}
    sim.step()
    ended = sim.status["attempts"][1]
    assert (ended["outcome"], ended["reason"]) == ("Interrupted", "NoLastWord")
    assert "failures" not in sim.status
    assert sim.created[-1] == "train-2"

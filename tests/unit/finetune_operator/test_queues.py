"""What a queue does to a job, and what the job says of it: held back, stopped, let go on, given up."""

import pytest

import fake_kueue
import kube_objects
from finetune_operator.observe.workload import workload
from kube_objects import published
from simulation import START, Simulation, prepared_job, stamp

GRACE = 10
PREEMPTED = (
    "Preempted to accommodate a workload (UID: 1, JobUID: 2) due to prioritization in the ClusterQueue"
)


def queued_job(**spec):
    """Prepare is done; a queue holds the training Job back."""
    sim = prepared_job(**{"scheduling": {"queueName": "team-a"}, **spec})
    sim.kueue = True
    held(sim)
    return sim


def held(sim, number=1, *, on=True, stage="train"):
    job = sim.job(stage, number)
    job["spec"]["suspend"] = on
    job["metadata"]["resourceVersion"] = sim._next()


def says(sim, number=1, *, active=True, stage="train", **conditions):
    """What Kueue says of the Job."""
    job = sim.job(stage, number)
    sim.workloads = [fake_kueue.workload(job, active=active, version=sim._next(), **conditions)]


def running_job(**spec):
    sim = queued_job(**spec)
    held(sim, on=False)
    sim.runs("train", 1, running=True)
    sim.step()
    return sim


def preempt(sim, number=1):
    says(
        sim,
        number,
        Evicted=("True", "Preempted", PREEMPTED),
        Preempted=("True", "InClusterQueue", PREEMPTED),
        QuotaReserved=("False", "Pending", PREEMPTED),
    )
    held(sim, number)


def train_attempts(sim):
    return [one for one in sim.status["attempts"] if one["stage"] == "Train"]


@pytest.mark.parametrize(
    ("reason", "message", "ready"),
    [
        ("Pending", fake_kueue.WHY, "Queued"),
        ("WaitingForQuota", fake_kueue.WHY, "Queued"),
        ("Inadmissible", "LocalQueue team-a doesn't exist", "Inadmissible"),
        ("Inadmissible", "ClusterQueue gpus is inactive", "Inadmissible"),
    ],
)
def test_kueues_own_reason_and_message_are_told(reason, message, ready):
    sim = queued_job()
    says(sim, QuotaReserved=("False", reason, message))
    sim.step()
    assert sim.status["state"] == "Queued"
    assert sim.said("Queued") == ("True", reason)
    assert message in sim.condition("Queued")["message"]
    assert sim.said("Ready") == ("False", ready)


def test_an_unknown_queue_is_told_with_what_to_do():
    sim = queued_job()
    says(sim, QuotaReserved=("False", "Inadmissible", "LocalQueue team-a doesn't exist"))
    sim.step()
    assert "create the LocalQueue" in sim.condition("Ready")["message"]
    assert "spec.scheduling.queueName" in sim.condition("Ready")["message"]


def test_what_waits_for_an_admission_check_is_told():
    sim = queued_job()
    message = "The workload has not all checks ready"
    says(
        sim,
        QuotaReserved=("True", "QuotaReserved", ""),
        Admitted=("False", "UnsatisfiedAdmissionChecks", message),
    )
    sim.step()
    assert sim.said("Queued") == ("True", "UnsatisfiedAdmissionChecks")
    assert message in sim.condition("Queued")["message"]


def test_a_job_without_a_workload_is_told_after_a_while():
    sim = queued_job(scheduling={"queueName": "team-a", "workloadPriorityClassName": "urgnt"})
    decision = sim.step()
    assert sim.said("Queued") == ("True", "Queued")
    assert 0 < decision.requeue_after <= GRACE
    sim.passes(GRACE)
    sim.step()
    assert sim.said("Queued") == ("True", "WorkloadMissing")
    assert "WorkloadPriorityClass 'urgnt'" in sim.condition("Ready")["message"]


def test_without_a_view_of_workloads_nothing_is_guessed():
    sim = queued_job(scheduling={"queueName": "team-a", "workloadPriorityClassName": "urgnt"})
    sim.kueue = False
    sim.passes(GRACE)
    sim.step()
    assert sim.said("Queued") == ("True", "Queued")


@pytest.mark.parametrize(
    ("stage", "field"),
    [("prepare", "spec.scheduling.prepareQueueName"), ("train", "spec.scheduling.queueName")],
)
def test_a_cluster_that_manages_all_jobs_is_told_by_the_field_that_is_missing(stage, field):
    sim = Simulation() if stage == "prepare" else prepared_job()
    sim.step()
    sim.kueue = True
    held(sim, stage=stage)
    sim.step()
    assert sim.status["state"] == "Queued"
    assert sim.said("Queued") == ("True", "QueueNotNamed")
    assert field in sim.condition("Ready")["message"]


def test_prepare_goes_by_its_own_queue_and_asks_for_no_gpu():
    scheduling = {"queueName": "gpus", "prepareQueueName": "cpus", "workloadPriorityClassName": "urgent"}
    sim = prepared_job(scheduling=scheduling, resources={"gpusPerNode": 4})
    prepare, train = sim.job("prepare", 1), sim.job("train", 1)
    assert prepare["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "cpus"
    assert train["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert train["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "urgent"
    resources = [one["spec"]["template"]["spec"]["containers"][0]["resources"] for one in (prepare, train)]
    assert ["nvidia.com/gpu" in one["limits"] for one in resources] == [False, True]
    assert not any("suspend" in one["spec"] for one in (prepare, train)), "the queue's field, never ours"


def test_a_quota_that_never_fits_ends_at_the_deadline_with_kueues_sentence():
    sim = queued_job(runPolicy={"pendingDeadlineSeconds": 60})
    message = "couldn't assign flavors to pod set main: request > maximum capacity (8 > 4)"
    says(sim, QuotaReserved=("False", "Pending", message))
    decision = sim.step()
    sim.passes(GRACE)
    decision = sim.step()
    assert decision.requeue_after == 60 - GRACE, "it is looked at when the time is up, not minutes later"
    sim.passes(60 - GRACE)
    sim.step()
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")
    assert message in sim.condition("Stalled")["message"]
    assert sim.live() == []


def test_what_kueue_has_given_up_ends_the_job_and_what_a_person_paused_does_not():
    sim = queued_job()
    message = "The workload is deactivated because the maximum number of re-queue retries has been exceeded"
    reason = "DeactivatedDueToRequeuingLimitExceeded"
    says(sim, active=False, Evicted=("True", "Deactivated", "The workload is deactivated"))
    sim.step()
    assert sim.said("Queued") == ("True", "Deactivated")
    assert sim.status["state"] == "Queued"
    says(sim, active=False, Evicted=("True", reason, message))
    sim.step()
    assert sim.said("Stalled") == ("True", "Deactivated")
    assert message in sim.condition("Ready")["message"]
    assert sim.live() == [], "else it would stay suspended for ever"


def test_a_preempted_run_is_an_attempt_that_costs_none_and_the_same_job_carries_the_next():
    sim = running_job(resources={"gpusPerNode": 2})
    sim.passes(100)
    preempt(sim)
    sim.step()
    assert sim.rules[-1] == "stopping"
    assert sim.said("Running") == ("False", "Preempted")
    assert sim.status["state"] == "Queued"
    sim.passes(8)
    sim.runs("train", 1, exit_code=75, word=kube_objects.saved(40, stamp(sim.now - 3)), started=stamp(START))
    sim.step()
    first, second = train_attempts(sim)
    assert (first["outcome"], first["reason"], first["exitCode"]) == ("Interrupted", "Preempted", 75)
    assert first["node"] == "node-1"
    assert first["checkpointStep"] == 40
    assert PREEMPTED in first["message"]
    assert "checkpoint of step 40" in first["message"]
    assert (second["number"], second["resumes"], second["outcome"]) == (2, 1, "Running")
    assert sim.status["usage"] == {"seconds": 108.0, "gpuSeconds": 216.0, "wastedGpuSeconds": 6.0}
    assert "from step 40" in sim.condition("Queued")["message"]
    assert "failures" not in sim.status
    assert sim.created == ["prepare-1", "train-1"]


def gone_on(sim, started=None):
    """The queue lets the Job run again."""
    sim.workloads = []
    held(sim, on=False)
    sim.runs("train", 1, running=True, started=started or stamp(sim.now))
    sim.step()


def test_a_preempted_job_that_goes_on_ends_well_and_its_time_adds_up():
    sim = running_job(resources={"gpusPerNode": 1})
    sim.passes(100)
    preempt(sim)
    sim.runs("train", 1, exit_code=75, word=kube_objects.saved(40, stamp(sim.now)), started=stamp(START))
    sim.step()
    sim.passes(1000)
    gone_on(sim)
    assert sim.said("Running") == ("True", "Running")
    assert sim.said("Queued") == ("False", "Admitted")
    began = sim.now
    sim.passes(50)
    sim.ends("train", 1, 0, published(), started=stamp(began))
    sim.step()
    assert sim.status["state"] == "Succeeded"
    assert [one["outcome"] for one in train_attempts(sim)] == ["Interrupted", "Succeeded"]
    assert sim.status["usage"]["seconds"] == 150.0
    assert sim.status["usage"]["wastedGpuSeconds"] == 0.0


def test_what_the_pod_of_the_run_before_said_is_old():
    sim = running_job()
    sim.polled(
        {"version": 1, "step": 41, "checkpoint": {"step": 40, "uri": "s3://b/40", "time": stamp(sim.now)}}
    )
    sim.step()
    preempt(sim)
    sim.runs("train", 1, exit_code=75, word=kube_objects.saved(57, stamp(sim.now)))
    sim.step()
    sim.pods = {}
    sim.rest()
    assert sim.status["checkpoint"]["step"] == 57
    held(sim, on=False)
    says(sim, QuotaReserved=("True", "QuotaReserved", ""), Admitted=("True", "Admitted", ""))
    sim.runs("train", 1, running=True, uid="the-next-pod")
    sim.step()
    assert sim.status["state"] == "Running"
    assert sim.status["checkpoint"]["step"] == 57


def test_a_preemption_that_nobody_saw_is_told_by_what_the_status_remembers():
    sim = running_job(resources={"gpusPerNode": 1})
    sim.passes(100)
    preempted_at = sim.now
    preempt(sim)
    sim.workloads[0]["status"]["conditions"][0]["lastTransitionTime"] = stamp(preempted_at)
    sim.pods = {name: one for name, one in sim.pods.items() if "-train-" not in name}
    sim.passes(3000)
    sim.step()
    first, second = train_attempts(sim)
    assert (first["reason"], first["node"]) == ("Preempted", "node-1")
    assert first["endTime"] == second["startTime"] == stamp(preempted_at)
    assert sim.status["usage"]["seconds"] == 100.0, "it did not run while it waited"


def test_a_run_that_began_while_nobody_looked_is_another_attempt():
    sim = running_job(resources={"gpusPerNode": 1})
    sim.passes(500)
    sim.pods = {name: one for name, one in sim.pods.items() if "-train-" not in name}
    sim.runs("train", 1, running=True)
    sim.step()
    first, second = train_attempts(sim)
    assert first["outcome"] == "Interrupted"
    assert (second["resumes"], second["node"]) == (1, "node-1")
    assert sim.status["state"] == "Running"


def test_a_job_that_is_preempted_before_it_ran_has_lost_nothing():
    sim = queued_job()
    held(sim, on=False)
    sim.step()
    preempt(sim)
    sim.step()
    assert [one["outcome"] for one in train_attempts(sim)] == ["Running"]
    assert sim.status["state"] == "Queued"


def test_a_job_that_is_preempted_in_vain_three_times_ends():
    sim = running_job(resources={"gpusPerNode": 1})
    for _ in range(3):
        began = sim.now
        sim.passes(20)
        preempt(sim)
        sim.runs("train", 1, exit_code=75, word=None, started=stamp(began))
        sim.step()
        if sim.status["state"] == "Failed":
            break
        sim.passes(20)
        gone_on(sim)
    assert sim.said("Stalled") == ("True", "NoProgress")
    assert len(train_attempts(sim)) == 4
    assert sim.live() == []


def test_suspending_a_job_that_its_queue_holds_back_takes_it_out_of_the_queue():
    sim = queued_job()
    sim.step()
    sim.raw["spec"]["runPolicy"] = {"suspend": True}
    sim.raw["metadata"]["generation"] = 2
    sim.step()
    assert sim.status["state"] == "Suspended"
    assert sim.live() == []
    sim.rest()
    sim.raw["spec"]["runPolicy"] = {"suspend": False}
    sim.step()
    assert sim.created[-1] == "train-2"


def test_a_workload_of_somebody_else_is_none_of_ours():
    sim = queued_job()
    raw = fake_kueue.workload(sim.job("train", 1))
    raw["spec"]["podSets"][0]["template"]["metadata"]["labels"] = {"app": "other"}
    assert workload(raw) is None
    assert workload({"metadata": raw["metadata"], "spec": {}}) is None


def test_an_eviction_that_is_over_is_still_known_by_its_message():
    sim = queued_job()
    before = f"Previously: {PREEMPTED}"
    conditions = {
        "Evicted": ("False", "QuotaReserved", before),
        "Preempted": ("False", "QuotaReserved", before),
        "QuotaReserved": ("True", "QuotaReserved", ""),
        "Admitted": ("True", "Admitted", ""),
    }
    seen = workload(fake_kueue.workload(sim.job("train", 1), **conditions))
    assert (seen.evicted, seen.evicted_message, seen.waiting_reason) == ("Preempted", PREEMPTED, "")

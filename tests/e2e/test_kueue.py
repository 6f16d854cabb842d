"""Two tenants on four pretended GPUs, with real Kueue and real training: queues, priorities, preemption, and what each job says.

Kueue is installed after the operator, which must notice. The GPUs are only counted; training is on CPU, and the profile says so.
"""

from collections.abc import Callable
from typing import Any

import pytest

import queues
import real_cluster
import stories
from copies import Copies

STEPS, SAVED = 400, 20
pytestmark = pytest.mark.timeout(1500)
PROFILE = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneProfile",
    "metadata": {"name": "counted-gpus"},
    "spec": {"gracePeriodSeconds": 15, "gpu": {"simulated": True}},
}


@pytest.fixture(scope="module")
def kueue(cluster, kube):
    """Kueue with four GPUs to give, and two priorities. It stays: nobody else's namespaces are managed by it."""
    if not cluster["nodes"]:
        pytest.skip("installs Kueue, which only the local cluster is there for")
    real_cluster.localcluster("kueue", "up")
    made = [
        PROFILE,
        queues.flavor(),
        queues.cluster_queue("four-gpus", 4),
        queues.cluster_queue("two-of-a", 2, cohortName="shared"),
        queues.cluster_queue("two-of-b", 2, cohortName="shared", preemption={"reclaimWithinCohort": "Any"}),
        queues.priority("routine", 100),
        queues.priority("urgent", 1000),
    ]
    stories.wait_until(
        lambda: kube.run("kubectl", "apply", "-f", "-", stdin=real_cluster.listed(made)),
        lambda done: done.returncode == 0,
        what="Kueue's webhooks to answer",
        seconds=120,
    )


@pytest.fixture(scope="module")
def make_tenants(kueue, kube, bucket, make_namespace):
    """Make copies of a job for two namespaces whose Jobs Kueue manages."""

    def make() -> Copies:
        first, second = make_namespace("tenant-a"), make_namespace("tenant-b")
        for namespace in (first, second):
            kube.kubectl("label", "namespace", namespace, "kueue-managed=true")
        return _copies(kube, bucket, first, second)

    return make


@pytest.fixture(scope="module")
def tenants(kube, make_tenants) -> Copies:
    """Two tenants of one queue; the door of the second is closed at first."""
    made: Copies = make_tenants()
    first, second = made.namespaces
    kube.apply(queues.local_queue(first, "four-gpus"))
    kube.apply(queues.local_queue(second, "four-gpus", stopPolicy="Hold"))
    return made


def _copies(kube, bucket, first: str, second: str) -> Copies:
    return Copies(
        kube,
        bucket,
        first,
        second,
        steps=STEPS,
        saved=SAVED,
        profile="counted-gpus",
        resources={"gpusPerNode": 4},
    )


def scheduling(priority: str, queue: str = queues.QUEUE) -> dict[str, str]:
    return {"queueName": queue, "workloadPriorityClassName": priority}


def queued(job: dict[str, Any]) -> bool:
    return stories.condition(job, "Queued").get("status") == "True"


def told_why(job: dict[str, Any]) -> bool:
    """The operator asks every 30 s whether there is a Kueue; until then it knows only that the Job is held back."""
    return "LocalQueue gpus is inactive" in stories.condition(job, "Queued").get("message", "")


def test_one_tenant_preempts_the_other_and_both_end_with_the_same_adapter(kube, tenants):
    first, second = tenants.namespaces
    tenants.apply("urgent", second, scheduling=scheduling("urgent"))
    tenants.wait(
        "urgent", told_why, "wait before a closed queue, and say so once the operator knows of Kueue"
    )
    tenants.apply("routine", first, scheduling=scheduling("routine"))
    tenants.saved("routine")

    tenants.timeline.says("-- the admin opens the second tenant's queue")
    kube.apply(queues.local_queue(second, "four-gpus", stopPolicy="None"))

    urgent, routine = tenants.succeeded("urgent"), tenants.succeeded("routine")
    tenants.timeline.says("\n" + kube.kubectl("get", "ftj", "-A"))
    stopped, resumed = stories.training_attempts(routine)
    assert (stopped["outcome"], stopped["reason"]) == ("Interrupted", "Preempted")
    assert stopped["node"]
    assert stopped["checkpointStep"]
    assert "Preempted to accommodate a workload" in stopped["message"]
    assert (resumed["outcome"], resumed["resumes"]) == ("Succeeded", 1)
    assert "failures" not in routine["status"], "a preemption costs no attempt"
    assert routine["status"]["usage"]["wastedGpuSeconds"] < routine["status"]["usage"]["gpuSeconds"]
    assert len(stories.training_attempts(urgent)) == 1
    told = tenants.timeline.states["routine"]
    assert told.index("Running") < told.index("Queued", told.index("Running")) < told.index("Succeeded")
    assert tenants.weights("routine") == tenants.weights("urgent"), "as if nothing had happened"


def test_borrowed_gpus_go_back_to_whom_they_belong_and_nothing_is_lost(kube, make_tenants):
    """Each tenant has two GPUs; the first takes all four while the second needs none."""
    cohort: Copies = make_tenants()
    first, second = cohort.namespaces
    kube.apply(queues.local_queue(first, "two-of-a"))
    kube.apply(queues.local_queue(second, "two-of-b", stopPolicy="Hold"))
    cohort.apply("owner", second, scheduling=scheduling("routine"), resources={"gpusPerNode": 2})
    cohort.wait("owner", queued, "wait before a closed queue")
    cohort.apply("borrower", first, scheduling=scheduling("urgent"))
    cohort.saved("borrower")

    cohort.timeline.says("-- the second tenant wants its own two back")
    kube.apply(queues.local_queue(second, "two-of-b", stopPolicy="None"))

    owner, borrower = cohort.succeeded("owner"), cohort.succeeded("borrower")
    stopped, resumed = stories.training_attempts(borrower)
    assert (stopped["outcome"], stopped["reason"]) == ("Interrupted", "Preempted")
    assert "reclamation within the cohort" in stopped["message"]
    assert (resumed["outcome"], resumed["resumes"]) == ("Succeeded", 1)
    assert len(stories.training_attempts(owner)) == 1
    assert cohort.weights("borrower") == cohort.weights("owner"), "GPUs are only counted here"


def test_prepare_waits_in_its_own_queue_and_says_so(kube, tenants):
    _, second = tenants.namespaces
    kube.apply(queues.local_queue(second, "four-gpus", stopPolicy="Hold"))
    tenants.apply("patient", second, scheduling={"prepareQueueName": queues.QUEUE})

    held = tenants.wait("patient", told_why, "wait before a closed queue, and say so")
    assert held["status"]["state"] == "Queued"
    assert not kube.list("pods", second, "finetune.dev/job-name=patient")
    kube.apply(queues.local_queue(second, "four-gpus", stopPolicy="None"))

    prepared = tenants.wait("patient", has_prepared, "prepare")
    assert stories.condition(prepared, "Queued").get("status") != "True"
    kube.kubectl("delete", "ftj", "patient", "-n", second)


def has_prepared(job: dict[str, Any]) -> bool:
    """Its data is ready: nothing but training is left."""
    attempts = job.get("status", {}).get("attempts") or []
    return any((one["stage"], one["outcome"]) == ("Prepare", "Succeeded") for one in attempts)


def test_what_can_never_start_says_why(kube, tenants):
    tenants.apply(
        "too-big",
        resources={"gpusPerNode": 5},
        scheduling=scheduling("routine"),
        runPolicy={"pendingDeadlineSeconds": 45},
    )
    tenants.apply("nowhere", scheduling={"queueName": "nowhere"})
    tenants.apply("misspelt", scheduling=scheduling("urgnt"))

    nowhere = tenants.wait("nowhere", saying("Inadmissible"), "say it")
    misspelt = tenants.wait("misspelt", saying("WorkloadMissing"), "say it")
    too_big = tenants.wait("too-big", stories.ended, "end")

    assert "LocalQueue nowhere doesn't exist" in stories.says(nowhere)
    assert "create the LocalQueue" in stories.says(nowhere)
    assert "WorkloadPriorityClass 'urgnt'" in stories.says(misspelt)
    assert stories.condition(too_big, "Stalled")["reason"] == "PendingDeadlineExceeded"
    assert queues.GPU in stories.says(too_big), "Kueue says which quota"
    kube.kubectl("delete", "ftj", "--all", "-n", tenants.namespace, "--wait=false")


def saying(reason: str) -> Callable[[dict[str, Any]], bool]:
    return lambda job: stories.says(job).startswith(reason)

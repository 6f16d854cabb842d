"""Two tenants on four pretended GPUs, with real Kueue and real training: queues, priorities, preemption, and what each job says.

Kueue is installed after the operator, which must notice. The GPUs are only counted; training is on CPU, and the profile says so.
"""

from typing import Any

import pytest

import queues
import real_cluster
import stories
from timeline import Timeline

SECONDS = 900
STEPS, SAVED = 120, 20
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
def tenants(kueue, kube, make_namespace) -> tuple[str, str]:
    """Two namespaces; the queue of the second is closed at first."""
    first, second = make_namespace("tenant-a"), make_namespace("tenant-b")
    for namespace in (first, second):
        kube.kubectl("label", "namespace", namespace, "kueue-managed=true")
    kube.apply(queues.local_queue(first, "four-gpus"))
    kube.apply(queues.local_queue(second, "four-gpus", stopPolicy="Hold"))
    return first, second


def job(bucket, name: str, namespace: str, *, gpus: int = 4, **spec: Any) -> dict[str, Any]:
    """One of the copies: what they train is the same to the last bit."""
    manifest = stories.finetunejob(
        name,
        namespace,
        bucket=bucket.name,
        profile="counted-gpus",
        training={"maxSteps": STEPS, "globalBatchSize": 4, "maxLength": 128, "seed": 7},
        tuning={"lora": {"rank": 4, "dropout": 0.1}},
        checkpoint={"everySteps": SAVED},
        **{"scheduling": {"queueName": queues.QUEUE, "workloadPriorityClassName": "routine"}, **spec},
    )
    manifest["spec"]["resources"]["gpusPerNode"] = gpus
    return manifest


def urgent() -> dict[str, str]:
    return {"queueName": queues.QUEUE, "workloadPriorityClassName": "urgent"}


def queued(job: dict[str, Any]) -> bool:
    return bool(job) and stories.condition(job, "Queued").get("status") == "True"


def saves(job: dict[str, Any]) -> bool:
    """It runs, and has a checkpoint to go on from."""
    status = job.get("status", {})
    saved = status.get("checkpoint", {}).get("step", 0) > 0
    return (status.get("state") == "Running" and saved) or stories.ended(job)


def weights(bucket, job: dict[str, Any]) -> str:
    """SHA-256 of the published weights."""
    metadata = job["metadata"]
    return bucket.weights(f"adapters/{metadata['namespace']}/{metadata['name']}")


def test_one_tenant_preempts_the_other_and_both_end_with_the_same_adapter(kube, bucket, tenants):
    first, second = tenants
    timeline = Timeline(kube, [first, second])
    kube.apply(job(bucket, "urgent", second, scheduling=urgent()))
    kube.apply(job(bucket, "routine", first))
    try:
        timeline.wait("urgent", queued, "wait before a closed queue", seconds=SECONDS)
        running = timeline.wait("routine", saves, "save a checkpoint", seconds=SECONDS)
        assert running["status"]["checkpoint"]["step"] < STEPS, "too late to prove anything"
        held = timeline.look()["urgent"]
        assert "LocalQueue gpus is inactive" in stories.condition(held, "Queued")["message"]

        timeline.says("the admin opens the second tenant's queue")
        kube.apply(queues.local_queue(second, "four-gpus", stopPolicy="None"))

        timeline.wait("urgent", stories.ended, "end", seconds=SECONDS)
        done = timeline.wait("routine", stories.ended, "end", seconds=SECONDS)
    finally:
        timeline.show()

    jobs = timeline.look()
    assert {name: one["status"]["state"] for name, one in jobs.items()} == {
        "routine": "Succeeded",
        "urgent": "Succeeded",
    }
    stopped, resumed = stories.training_attempts(done)
    assert (stopped["outcome"], stopped["reason"]) == ("Interrupted", "Preempted")
    assert stopped["node"]
    assert stopped["checkpointStep"]
    assert "Preempted to accommodate a workload" in stopped["message"]
    assert (resumed["outcome"], resumed["resumes"]) == ("Succeeded", 1)
    assert "failures" not in done["status"], "a preemption costs no attempt"
    assert done["status"]["usage"]["wastedGpuSeconds"] < done["status"]["usage"]["gpuSeconds"]
    assert len(stories.training_attempts(jobs["urgent"])) == 1
    told = timeline.states["routine"]
    assert told.index("Running") < told.index("Queued", told.index("Running")) < told.index("Succeeded")
    assert weights(bucket, done) == weights(bucket, jobs["urgent"]), "as if nothing had happened"


def test_what_can_never_start_says_why(kube, bucket, tenants):
    first, _ = tenants
    timeline = Timeline(kube, [first])
    kube.apply(job(bucket, "too-big", first, gpus=5, runPolicy={"pendingDeadlineSeconds": 45}))
    kube.apply(job(bucket, "nowhere", first, scheduling={"queueName": "nowhere"}))
    misspelt = {"queueName": queues.QUEUE, "workloadPriorityClassName": "urgnt"}
    kube.apply(job(bucket, "misspelt", first, scheduling=misspelt))
    try:
        nowhere = timeline.wait(
            "nowhere", lambda one: stories.says(one).startswith("Inadmissible"), "say it", seconds=SECONDS
        )
        misspelt = timeline.wait(
            "misspelt", lambda one: stories.says(one).startswith("WorkloadMissing"), "say it", seconds=SECONDS
        )
        too_big = timeline.wait("too-big", stories.ended, "end", seconds=SECONDS)
    finally:
        timeline.show()
    assert "LocalQueue nowhere doesn't exist" in stories.says(nowhere)
    assert "create the LocalQueue" in stories.says(nowhere)
    assert "WorkloadPriorityClass 'urgnt'" in stories.says(misspelt)
    assert stories.condition(too_big, "Stalled")["reason"] == "PendingDeadlineExceeded"
    assert queues.GPU in stories.says(too_big), "Kueue says which quota"
    kube.kubectl("delete", "ftj", "--all", "-n", first, "--wait=false")

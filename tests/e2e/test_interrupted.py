"""Whatever stops training from outside, it ends with the adapter that an undisturbed run gives, to the last bit.

Copies of one job: nothing happens to the first, a pod is deleted under the second, the third is suspended and let go on, the
operator is killed in the moment in which the pod of the fourth is deleted, and the node under the fifth dies.
"""

import json
from typing import Any

import pytest

import real_cluster
import stories

SECONDS = 900
STEPS, SAVED = 160, 20
OPERATOR = ("-n", real_cluster.RELEASE_NAMESPACE, "-l", "app.kubernetes.io/name=finetune-operator")
pytestmark = pytest.mark.timeout(1200)  # a node that dies is noticed after minutes
PROFILE = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneProfile",
    "metadata": {"name": "hasty"},
    "spec": {"gracePeriodSeconds": 15},
}


class Copies:
    """Copies of one job in one namespace, and what may happen to them."""

    def __init__(self, kube, bucket, namespace: str) -> None:
        self.kube, self.bucket, self.namespace = kube, bucket, namespace

    def apply(self, name: str, **spec: Any) -> None:
        """One more."""
        manifest = stories.finetunejob(
            name,
            self.namespace,
            bucket=self.bucket.name,
            profile="hasty",
            training={"maxSteps": STEPS, "globalBatchSize": 4, "maxLength": 128, "seed": 7},
            tuning={"lora": {"rank": 4, "dropout": 0.1}},
            checkpoint={"everySteps": SAVED},
            **spec,
        )
        self.kube.apply(manifest)

    def job(self, name: str) -> dict[str, Any]:
        """As it is now."""
        found: dict[str, Any] = self.kube.get("ftj", name, self.namespace)
        return found

    def wait(self, name: str, holds, what: str) -> dict[str, Any]:
        """The job, once it holds."""
        return stories.wait_until(lambda: self.job(name), holds, what=f"{name} to {what}", seconds=SECONDS)

    def saved(self, name: str) -> dict[str, Any]:
        """The job, once it runs and has saved a checkpoint, early enough to prove anything."""

        def saves(job: dict[str, Any]) -> bool:
            status = job.get("status", {})
            running = status.get("state") == "Running" and status.get("checkpoint", {}).get("step", 0) > 0
            return running or stories.ended(job)

        job = self.wait(name, saves, "save a checkpoint")
        assert job["status"]["checkpoint"]["step"] < STEPS, "interrupted too late to prove anything"
        return job

    def succeeded(self, name: str) -> dict[str, Any]:
        """The job, once it has ended well."""
        job = self.wait(name, stories.ended, "end")
        assert job["status"]["state"] == "Succeeded", stories.says(job)
        return job

    def weights(self, name: str) -> str:
        """SHA-256 of the published weights."""
        return self.bucket.weights(f"adapters/{self.namespace}/{name}")

    def delete_pod(self, name: str) -> None:
        """`kubectl delete pod`, with the grace that a drain gives too."""
        self.kube.kubectl("delete", "pod", "-n", self.namespace, "--wait=false", "-l", training(name))

    def suspend_and_resume(self, name: str) -> None:
        """What a person does who needs the GPU for an hour."""
        self.run_policy(name, {"suspend": True})
        stories.wait_until(
            lambda: (self.job(name), self.kube.list("pods", self.namespace, training(name))),
            lambda seen: seen[0]["status"]["state"] == "Suspended" and not seen[1],
            what="the pods to be gone",
            seconds=180,
        )
        self.run_policy(name, {"suspend": False})

    def delete_pod_and_operator(self, name: str) -> None:
        """Nobody watches while the pod ends."""
        self.delete_pod(name)
        self.kube.kubectl("delete", "pod", *OPERATOR, "--grace-period=0", "--force")

    def run_policy(self, name: str, policy: dict[str, Any]) -> None:
        """`kubectl patch` of the only part of a spec that may change."""
        body = json.dumps({"spec": {"runPolicy": policy}})
        self.kube.kubectl("patch", "ftj", name, "-n", self.namespace, "--type=merge", "-p", body)


def training(name: str) -> str:
    """Label selector of a job's training Jobs and pods."""
    return f"finetune.dev/job-name={name},finetune.dev/stage=train"


@pytest.fixture(scope="module")
def copies(kube, bucket, make_namespace) -> Copies:
    """A namespace for them, and a profile with a short grace period."""
    kube.apply(PROFILE)
    return Copies(kube, bucket, make_namespace("interrupted"))


@pytest.fixture(scope="module")
def undisturbed(copies) -> str:
    """What training gives where nothing happens."""
    copies.apply("undisturbed")
    assert len(stories.training_attempts(copies.succeeded("undisturbed"))) == 1
    return copies.weights("undisturbed")


@pytest.mark.parametrize(
    ("name", "disturb", "reasons"),
    [
        ("deleted", Copies.delete_pod, {"Interrupted"}),
        ("suspended", Copies.suspend_and_resume, {"Suspended"}),
        # Whoever comes back may find the pod gone already, and its last word with it.
        ("with-operator", Copies.delete_pod_and_operator, {"Interrupted", "PodLost"}),
    ],
)
def test_an_interrupted_job_gives_the_very_same_adapter(name, disturb, reasons, copies, undisturbed):
    copies.apply(name)
    copies.saved(name)

    disturb(copies, name)

    job = copies.succeeded(name)
    assert [one["outcome"] for one in stories.training_attempts(job)] == ["Interrupted", "Succeeded"]
    assert stories.training_attempts(job)[0]["reason"] in reasons
    assert "failures" not in job["status"], "an interruption costs no attempt"
    assert copies.weights(name) == undisturbed


def test_a_job_goes_on_elsewhere_when_its_node_dies(copies, undisturbed, cluster, second_node):
    first = cluster["nodes"][0]["name"]
    copies.kube.kubectl("cordon", first)
    try:
        copies.apply("dead-node")
        copies.saved("dead-node")
    finally:
        copies.kube.kubectl("uncordon", first)

    real_cluster.localcluster("kill-node", second_node)

    job = copies.succeeded("dead-node")
    assert [one["node"] for one in stories.training_attempts(job)] == [second_node, first]
    assert [one["outcome"] for one in stories.training_attempts(job)] == ["Interrupted", "Succeeded"]
    assert stories.training_attempts(job)[0]["reason"] == "NodeLost"
    assert copies.weights("dead-node") == undisturbed


def test_training_that_runs_too_long_is_ended_and_its_pods_go(copies):
    copies.apply("too-long", runPolicy={"activeDeadlineSeconds": 5})

    job = copies.wait("too-long", stories.ended, "end")

    ready = stories.condition(job, "Ready")
    assert ready["reason"] == "ActiveDeadlineExceeded"
    assert "activeDeadlineSeconds" in ready["message"]
    stories.wait_until(
        lambda: copies.kube.list("pods", copies.namespace, training("too-long")),
        lambda pods: not pods,
        what="the pods to be gone",
        seconds=120,
    )


def test_the_children_of_a_job_that_has_ended_go_and_the_job_stays(copies):
    manifest = stories.finetunejob(
        "tidy", copies.namespace, bucket=copies.bucket.name, runPolicy={"ttlSecondsAfterFinished": 3}
    )
    copies.kube.apply(manifest)

    copies.succeeded("tidy")

    stories.wait_until(
        lambda: copies.kube.list("jobs", copies.namespace, "finetune.dev/job-name=tidy"),
        lambda jobs: not jobs,
        what="the Jobs to be gone",
        seconds=120,
    )
    assert copies.job("tidy")["status"]["state"] == "Succeeded"

"""Two pods on two nodes train one adapter over gloo. Whatever ends one of them ends both, and what comes out is the same.

Copies of one job: nothing happens to the first; under the second one pod is killed without a word; under the third one pod is
drained, and both make a checkpoint together.
"""

import time
from typing import Any

import pytest

import stories

SECONDS = 600
STEPS, SAVED = 40, 8
pytestmark = pytest.mark.timeout(1200)
PROFILE = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneProfile",
    "metadata": {"name": "gangs"},
    "spec": {"gracePeriodSeconds": 20},
}


class Gangs:
    """Copies of one job of two nodes, and what was seen of them."""

    def __init__(self, kube, bucket, namespace: str) -> None:
        self.kube, self.bucket, self.namespace = kube, bucket, namespace
        self.began = time.monotonic()

    def apply(self, name: str, **spec: Any) -> None:
        """One more."""
        manifest = stories.finetunejob(
            name,
            self.namespace,
            bucket=self.bucket.name,
            profile="gangs",
            training={"maxSteps": STEPS, "globalBatchSize": 4, "maxLength": 128, "seed": 7},
            tuning={"lora": {"rank": 4, "dropout": 0.1}},
            checkpoint={"everySteps": SAVED},
            **spec,
        )
        # More than half of a node of two CPUs: one pod on each.
        resources = {**manifest["spec"]["resources"], "nodes": 2, "cpu": "1100m"}
        manifest["spec"]["resources"] = resources
        self.kube.apply(manifest)

    def wait(self, name: str, holds, what: str) -> dict[str, Any]:
        """The job, once it holds; every change of what it says is told."""
        said = ""

        def look() -> dict[str, Any]:
            nonlocal said
            job: dict[str, Any] = self.kube.get("ftj", name, self.namespace)
            status = job.get("status", {})
            step = status.get("checkpoint", {}).get("step")
            now = f"{status.get('state')}, checkpoint {step}, {stories.says(job)}"
            if now != said:
                print(f"{time.monotonic() - self.began:6.1f} s  {name}: {now}")
                said = now
            return job

        return stories.wait_until(look, holds, what=f"{name} to {what}", seconds=SECONDS)

    def saved(self, name: str) -> dict[str, Any]:
        """The job, once both pods run and have saved a checkpoint."""

        def saves(job: dict[str, Any]) -> bool:
            status = job.get("status", {})
            return status.get("state") == "Running" and status.get("checkpoint", {}).get("step", 0) > 0

        return self.wait(name, lambda job: saves(job) or stories.ended(job), "save a checkpoint")

    def succeeded(self, name: str) -> dict[str, Any]:
        """The job, once it has ended well."""
        job = self.wait(name, stories.ended, "end")
        assert job["status"]["state"] == "Succeeded", stories.says(job)
        for one in stories.training_attempts(job):
            print(
                f"          attempt {one['number']}: {one['outcome']} {one.get('reason', '')} on {one['nodes']}"
            )
        return job

    def pod(self, name: str, index: int) -> str:
        """The name of one of its pods."""
        selector = f"finetune.dev/job-name={name},batch.kubernetes.io/job-completion-index={index}"
        (found,) = self.kube.list("pods", self.namespace, selector)
        pod: str = found["metadata"]["name"]
        return pod

    def weights(self, name: str) -> str:
        """SHA-256 of the published weights."""
        return self.bucket.weights(f"adapters/{self.namespace}/{name}")


@pytest.fixture(scope="module")
def gangs(kube, bucket, make_namespace, second_node) -> Gangs:
    """A namespace for them."""
    kube.apply(PROFILE)
    return Gangs(kube, bucket, make_namespace("gang"))


@pytest.fixture(scope="module")
def undisturbed(gangs) -> str:
    """What two nodes give where nothing happens."""
    gangs.apply("undisturbed")
    job = gangs.succeeded("undisturbed")
    (only,) = stories.training_attempts(job)
    assert len(set(only["nodes"])) == 2
    return gangs.weights("undisturbed")


@pytest.mark.parametrize(
    ("name", "index", "how"),
    [("killed", 1, ["--grace-period=0", "--force"]), ("drained", 0, [])],
)
def test_one_pod_ends_both_and_the_next_two_give_the_very_same_adapter(name, index, how, gangs, undisturbed):
    gangs.apply(name)
    at = gangs.saved(name)["status"]["checkpoint"]["step"]
    assert at < STEPS, "interrupted too late to prove anything"

    gangs.kube.kubectl("delete", "pod", "-n", gangs.namespace, gangs.pod(name, index), "--wait=false", *how)

    job = gangs.succeeded(name)
    first, second = stories.training_attempts(job)
    assert (first["outcome"], second["outcome"]) == ("Interrupted", "Succeeded")
    assert first["checkpointStep"] >= at
    assert "failures" not in job["status"], "an interruption costs no attempt"
    assert gangs.weights(name) == undisturbed

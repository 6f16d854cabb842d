"""Two pods on two nodes train one adapter over gloo. Whatever ends one of them ends both, and what comes out is the same.

Copies of one job: nothing happens to the first; under the second one pod is killed without a word; under the third one pod is
drained, and both make a checkpoint together.
"""

import json

import pytest

import stories
from copies import Copies

STEPS, SAVED = 120, 20
pytestmark = pytest.mark.timeout(1200)
PROFILE = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneProfile",
    "metadata": {"name": "gangs"},
    "spec": {"gracePeriodSeconds": 20},
}


class Gangs(Copies):
    """Copies of one job of two nodes."""

    def pod(self, name: str, index: int) -> str:
        """The name of one of its pods."""
        selector = f"finetune.dev/job-name={name},batch.kubernetes.io/job-completion-index={index}"
        (found,) = self.kube.list("pods", self.namespace, selector)
        pod: str = found["metadata"]["name"]
        return pod


def cpus(kube) -> int:
    """Of the smallest node."""
    nodes = json.loads(kube.kubectl("get", "nodes", "-o", "json"))["items"]
    return min(int(node["status"]["capacity"]["cpu"]) for node in nodes)


@pytest.fixture(scope="module")
def gangs(kube, bucket, make_namespace, second_node) -> Gangs:
    """A namespace for them."""
    kube.apply(PROFILE)
    # More than half of a node: one pod on each.
    resources = {"nodes": 2, "cpu": f"{round(550 * cpus(kube))}m"}
    return Gangs(
        kube, bucket, make_namespace("gang"), steps=STEPS, saved=SAVED, profile="gangs", resources=resources
    )


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

    gangs.timeline.says(f"-- pod {index} is {name}")
    gangs.kube.kubectl("delete", "pod", "-n", gangs.namespace, gangs.pod(name, index), "--wait=false", *how)

    job = gangs.succeeded(name)
    first, second = stories.training_attempts(job)
    assert (first["outcome"], second["outcome"]) == ("Interrupted", "Succeeded")
    assert first["checkpointStep"] >= at
    assert "failures" not in job["status"], "an interruption costs no attempt"
    assert gangs.weights(name) == undisturbed

"""Whatever stops training from outside, it ends with the adapter that an undisturbed run gives, to the last bit.

Copies of one job: nothing happens to the first, a pod is deleted under the second, the node under the third is drained,
the fourth is suspended and let go on, the operator is killed in the moment in which the pod of the fifth is deleted, and the node
under the sixth dies.
"""

import json
from typing import Any

import pytest

import real_cluster
import stories
from copies import Copies

STEPS, SAVED = 240, 20
OPERATOR = ("-n", real_cluster.RELEASE_NAMESPACE, "-l", "app.kubernetes.io/name=finetune-operator")
pytestmark = pytest.mark.timeout(1200)  # a node that dies is noticed after minutes
PROFILE = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneProfile",
    "metadata": {"name": "hasty"},
    "spec": {"gracePeriodSeconds": 15},
}


class Disturbed(Copies):
    """What may happen to them."""

    def delete_pod(self, name: str) -> None:
        """`kubectl delete pod`, with the grace that a drain gives too."""
        self.kube.kubectl("delete", "pod", "-n", self.namespace, "--wait=false", "-l", training(name))

    def drain_its_node(self, name: str) -> None:
        """What an admin does before a reboot; only this job's pods are asked to go."""
        (pod,) = self.kube.list("pods", self.namespace, training(name))
        node = pod["spec"]["nodeName"]
        try:
            self.kube.kubectl(
                "drain",
                node,
                "--pod-selector",
                training(name),
                "--delete-emptydir-data",
                "--ignore-daemonsets",
            )
            self.wait(name, waits_for_a_node, "find no node")
        finally:
            self.kube.kubectl("uncordon", node)

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


def waits_for_a_node(job: dict[str, Any]) -> bool:
    """The node that was drained takes nobody."""
    return stories.condition(job, "Ready").get("reason") == "Unschedulable" or stories.ended(job)


def training(name: str) -> str:
    """Label selector of a job's training Jobs and pods."""
    return f"finetune.dev/job-name={name},finetune.dev/stage=train"


@pytest.fixture(scope="module")
def copies(kube, bucket, make_namespace) -> Disturbed:
    """A namespace for them, and a profile with a short grace period."""
    kube.apply(PROFILE)
    return Disturbed(kube, bucket, make_namespace("interrupted"), steps=STEPS, saved=SAVED, profile="hasty")


@pytest.fixture(scope="module")
def undisturbed(copies) -> str:
    """What training gives where nothing happens."""
    copies.apply("undisturbed")
    assert len(stories.training_attempts(copies.succeeded("undisturbed"))) == 1
    return copies.weights("undisturbed")


@pytest.mark.parametrize(
    ("name", "disturb", "reasons"),
    [
        ("deleted", Disturbed.delete_pod, {"Interrupted"}),
        ("drained", Disturbed.drain_its_node, {"Interrupted", "Evicted"}),
        ("suspended", Disturbed.suspend_and_resume, {"Suspended"}),
        # Whoever comes back may find the pod gone already, and its last word with it.
        ("with-operator", Disturbed.delete_pod_and_operator, {"Interrupted", "PodLost"}),
    ],
)
def test_an_interrupted_job_gives_the_very_same_adapter(name, disturb, reasons, copies, undisturbed):
    copies.apply(name)
    copies.saved(name)

    copies.timeline.says(f"-- {disturb.__name__}")
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

    copies.timeline.says(f"-- {second_node} dies")
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

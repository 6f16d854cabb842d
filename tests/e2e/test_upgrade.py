"""The operator is upgraded, rolled back, taken away and installed again while a job trains, and the job notices nothing.

What it is upgraded from is the last chart and operator that are both others than today's.
"""

import json

import pytest

import one_run
import real_cluster
import stories

pytestmark = pytest.mark.timeout(900)
HERE = (real_cluster.RELEASE, "-n", real_cluster.RELEASE_NAMESPACE)
READY = ("--wait", "--timeout", "180s")
OPERATORS = "app.kubernetes.io/name=finetune-operator"
STEPS = 100
SLOW = {"name": "FINETUNE_FAILPOINTS", "value": json.dumps([{"at": "Step", "do": "Wait", "seconds": 1.0}])}
"""A second for each step, so that training outlasts four changes of the operator on any machine."""
PROFILE = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneProfile",
    "metadata": {"name": "unhurried"},
    "spec": {"env": [SLOW]},
}


def recorded(job):
    """What a status holds beside the progress of training."""
    status = job["status"]
    conditions, attempts = status["conditions"], status["attempts"]
    return {
        "spec": job["spec"],
        "state": status["state"],
        "resolved": status["resolved"],
        "conditions": [
            [one[name] for name in ("type", "status", "reason", "lastTransitionTime")] for one in conditions
        ],
        "attempts": [[one[name] for name in ("stage", "number", "outcome", "startTime")] for one in attempts],
    }


@pytest.fixture
def former_release(before, no_operator, kube, images):
    """The chart and the operator of an earlier commit, with the trainer of today."""
    given = {"image": before.image, "trainerImage": images["trainer"]}
    sets = [word for name, image in given.items() for word in ("--set", f"{name}.reference={image}")]
    kube.helm("install", HERE[0], before.chart, *HERE[1:], *sets, *READY)


@pytest.fixture
def trains(former_release, kube, bucket, namespace):
    """A job that trains, started by the former operator. Asked again: that it is untouched, and the step it is at."""
    kube.apply(PROFILE)
    training = {"maxSteps": STEPS, "globalBatchSize": 4, "maxLength": 128}
    kube.apply(
        stories.finetunejob("steady", namespace, bucket=bucket.name, profile="unhurried", training=training)
    )
    job = stories.wait_until(
        lambda: kube.get("ftj", "steady", namespace),
        lambda job: job.get("status", {}).get("state") == "Running" or stories.ended(job),
        what="training",
        seconds=one_run.SECONDS,
    )
    began, pod = recorded(job), one_run.pod(kube, namespace, "steady")["metadata"]
    assert began["state"] == "Running"

    def untouched() -> int:
        assert recorded(kube.get("ftj", "steady", namespace)) == began
        assert one_run.pod(kube, namespace, "steady")["metadata"]["uid"] == pod["uid"]
        asked = f"/api/v1/namespaces/{namespace}/pods/{pod['name']}:8080/proxy/progress"
        return json.loads(kube.kubectl("get", "--raw", asked)).get("step") or 0

    return untouched


@pytest.fixture
def only_operator(kube):
    """Wait until no other image of an operator runs; without one, until none does."""

    def wait(*images: str) -> None:
        def running():
            pods = kube.list("pods", real_cluster.RELEASE_NAMESPACE, OPERATORS)
            return {pod["spec"]["containers"][0]["image"] for pod in pods}

        stories.wait_until(running, lambda found: found == set(images), what="others to go", seconds=60)

    return wait


def test_a_job_trains_through_upgrade_rollback_uninstall_and_reinstall(
    *, trains, only_operator, before, images, install, kube, namespace
):
    upgrade = ("upgrade", HERE[0], str(real_cluster.CHART), *HERE[1:], "--reset-then-reuse-values")
    kube.helm(*upgrade, "--set", f"image.reference={images['operator']}", *READY)
    only_operator(images["operator"])
    upgraded = trains()

    kube.helm("rollback", *HERE, *READY)
    only_operator(before.image)
    rolled_back = trains()

    kube.helm("uninstall", *HERE, "--wait")
    only_operator()
    alone = stories.wait_until(
        trains, lambda step: step > rolled_back, what="training to go on alone", seconds=30
    )

    install()
    only_operator(images["operator"])
    assert 0 < upgraded < rolled_back < alone < trains() < STEPS, "it trained all the time"
    one_run.ends_well(kube, namespace, "steady")

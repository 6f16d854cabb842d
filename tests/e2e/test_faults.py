"""What goes wrong inside a training pod, on purpose (docs/failpoints.md), and what status says of it."""

import json

import pytest

import stories
from copies import Copies

STEPS, SAVED = 8, 2
FAULTS = {
    "memory": {"at": "Step", "step": 5, "do": "OutOfMemory", "above": 1},
    "hang": {"at": "Step", "step": 5, "do": "Hang", "attempt": 1},
}
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def copies(kube, bucket, make_namespace) -> Copies:
    """A namespace, and for each fault a profile: no job can ask for one."""
    for name, fault in FAULTS.items():
        kube.apply(
            {
                "apiVersion": "finetune.dev/v1alpha1",
                "kind": "FineTuneProfile",
                "metadata": {"name": f"fault-{name}"},
                "spec": {"env": [{"name": "FINETUNE_FAILPOINTS", "value": json.dumps([fault])}]},
            }
        )
    return Copies(kube, bucket, make_namespace("faults"), steps=STEPS, saved=SAVED, profile="default")


def test_memory_that_does_not_suffice_costs_smaller_batches_and_no_attempt(copies):
    copies.apply("memory", profile="fault-memory")

    job = copies.succeeded("memory")

    (only,) = stories.training_attempts(job)
    assert only["outcome"] == "Succeeded"
    resolved = job["status"]["resolved"]
    assert resolved["microBatchSize"] == 1
    assert resolved["outOfMemory"] >= 1
    assert "failures" not in job["status"]


def test_a_training_that_hangs_is_killed_and_goes_on(copies):
    copies.apply("hang", profile="fault-hang", runPolicy={"stallTimeoutSeconds": 45})

    job = copies.succeeded("hang")

    first, second = stories.training_attempts(job)
    assert (first["outcome"], first["reason"]) == ("Failed", "Stalled")
    assert first["checkpointStep"] == 4
    assert second["outcome"] == "Succeeded"
    assert job["status"]["failures"] == 1

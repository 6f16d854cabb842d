"""A pod that cannot start is told in the job's condition, in plain words, within 30 seconds."""

import json
import re
import time
from typing import Any

import pytest

import stories

WITHIN = 30
RESOURCES = {"cpu": "250m", "memory": "1Gi", "scratch": "1Gi", "gpusPerNode": 0}


def nothing(kube: Any, namespace: str) -> None:
    """The spec alone is the trouble."""


def quota(kube: Any, namespace: str) -> None:
    """No pod fits."""
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "tight", "namespace": namespace},
            "spec": {"hard": {"requests.memory": "16Mi"}},
        }
    )


def profile_with_no_such_image(kube: Any, namespace: str) -> None:
    """An admin's typing error."""
    kube.apply(
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneProfile",
            "metadata": {"name": "no-image"},
            "spec": {"image": "registry.lab/no-such-image:1"},
        }
    )


CASES = {
    "quota": (quota, {}, "QuotaExceeded", r"quota.*tight|tight.*quota"),
    "image": (profile_with_no_such_image, {"profile": "no-image"}, "ImagePullFailed", r"no-such-image"),
    "unschedulable": (
        nothing,
        {"resources": {**RESOURCES, "prepare": {"cpu": "500", "memory": "1Gi"}}},
        "Unschedulable",
        r"cpu",
    ),
    "claim": (
        nothing,
        {"model": {"uri": "pvc://no-such-claim/model"}},
        "ClaimMissing",
        r"no-such-claim",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_told_within_30_seconds(case, kube, bucket, namespace):
    arrange, spec, reason, says = CASES[case]
    arrange(kube, namespace)
    kube.apply(stories.finetunejob(case, namespace, bucket=bucket.name, **spec))
    applied = time.monotonic()

    job = stories.wait_until(
        lambda: kube.get("ftj", case, namespace),
        lambda job: reason in json.dumps(job.get("status", {}).get("conditions", [])),
        what=f"the condition to say {reason}",
        seconds=WITHIN,
    )

    assert time.monotonic() - applied < WITHIN
    ready = stories.condition(job, "Ready")
    assert ready["reason"] == reason, stories.says(job)
    assert re.search(says, ready["message"], re.IGNORECASE), ready["message"]

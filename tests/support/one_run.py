"""Jobs that nothing has disturbed: each stage was run once, by one pod, whose container never started anew."""

from typing import Any

import stories

SECONDS = 420


def ends_well(kube: Any, namespace: str, name: str) -> dict[str, Any]:
    """The job, once it has succeeded with one run of each stage."""
    job: dict[str, Any] = stories.wait_until(
        lambda: kube.get("ftj", name, namespace), stories.ended, what="the job to end", seconds=SECONDS
    )
    assert job["status"]["state"] == "Succeeded", stories.says(job)
    assert [one["outcome"] for one in job["status"]["attempts"]] == ["Succeeded", "Succeeded"]
    for stage in ("prepare", "train"):
        assert len(kube.list("jobs", namespace, selector(name, stage))) == 1
        assert pod(kube, namespace, name, stage)["status"]["containerStatuses"][0]["restartCount"] == 0
    return job


def pod(kube: Any, namespace: str, name: str, stage: str = "train") -> dict[str, Any]:
    """The only pod of a stage."""
    (found,) = kube.list("pods", namespace, selector(name, stage))
    only: dict[str, Any] = found
    return only


def selector(name: str, stage: str) -> str:
    """Of a stage's Jobs and pods."""
    return f"finetune.dev/job-name={name},finetune.dev/stage={stage}"

"""The operator may die at any moment: the job ends the same, with one training Job in all."""

import pytest

import stories

SECONDS = 420


def kill_operator(kube) -> None:
    """What a node failure does to it: no grace."""
    kube.kubectl(
        "delete", "pod", "-n", "finetune-system", "-l", "app.kubernetes.io/name=finetune-operator",
        "--grace-period=0", "--force",
    )  # fmt: skip


@pytest.mark.parametrize("moment", ["Pending", "Preparing", "Running"])
def test_the_operator_is_killed(moment, kube, bucket, namespace):
    name = f"killed-{moment.lower()}"
    kube.apply(stories.finetunejob(name, namespace, bucket=bucket.name))
    if moment != "Pending":
        stories.wait_until(
            lambda: kube.get("ftj", name, namespace),
            lambda job: job.get("status", {}).get("state") == moment or stories.ended(job),
            what=f"state {moment}",
            seconds=SECONDS,
        )

    kill_operator(kube)

    job = stories.wait_until(
        lambda: kube.get("ftj", name, namespace), stories.ended, what="the job to end", seconds=SECONDS
    )
    assert job["status"]["state"] == "Succeeded", stories.says(job)
    assert len(kube.list("jobs", namespace, f"finetune.dev/job-name={name},finetune.dev/stage=train")) == 1
    assert len(kube.list("jobs", namespace, f"finetune.dev/job-name={name},finetune.dev/stage=prepare")) == 1
    assert "failures" not in job["status"] or job["status"]["failures"] == 0

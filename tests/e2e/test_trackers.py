"""Trackers of a job in the cluster: files beside the result, and a server that is not there, which changes nothing."""

import pytest

import stories
import tracker_figures

pytestmark = pytest.mark.timeout(600)
SECONDS = 420


def test_a_job_succeeds_beside_trackers_that_fail_and_its_files_hold_the_same_figures(
    kube, bucket, make_namespace, tmp_path
):
    namespace = make_namespace("trackers")
    kube.apply(
        stories.finetunejob(
            "told",
            namespace,
            bucket=bucket.name,
            tracking={
                "wandb": {"project": "p", "credentialsSecretRef": {"name": "not-made"}},
                "mlflow": {"trackingUri": "http://127.0.0.1:9"},
                "tensorboard": {},
            },
        )
    )
    job = stories.wait_until(
        lambda: kube.get("ftj", "told", namespace), stories.ended, what="the job to end", seconds=SECONDS
    )
    assert job["status"]["state"] == "Succeeded", stories.says(job)
    wandb, mlflow = job["status"]["progress"]["warnings"]
    assert wandb.startswith("spec.tracking.wandb.credentialsSecretRef: the Secret 'not-made' does not exist")
    assert mlflow.startswith("MLflow: ")

    result = f"adapters/{namespace}/told"
    (events,) = [key for key in bucket.keys(result) if "/tensorboard/" in key]
    (tmp_path / events.rpartition("/")[2]).write_bytes(bucket.get(events))
    (tmp_path / "metrics.jsonl").write_bytes(bucket.get(f"{result}/metrics.jsonl"))
    held = tracker_figures.of_tensorboard(tmp_path)
    logged = tracker_figures.logged(tmp_path / "metrics.jsonl")
    assert {key: held[key] for key in logged} == pytest.approx(logged, rel=1e-6)

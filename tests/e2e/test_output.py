"""The output decides: a result is whole by the page's own reader, final whatever becomes of the status, and no other job's."""

import json
import pathlib
import shutil
from typing import Any

import pytest

import publish_table
import stories

pytestmark = pytest.mark.timeout(1200)  # three jobs, one after the other
SECONDS = 420
SHORT = {"maxSteps": 2, "globalBatchSize": 4, "maxLength": 128}


@pytest.fixture(scope="module")
def output(bucket, make_namespace) -> dict[str, Any]:
    """One prefix, for all jobs of the story."""
    namespace = make_namespace("output")
    prefix = f"adapters/{namespace}/shared"
    return {"namespace": namespace, "prefix": prefix, "uri": f"s3://{bucket.name}/{prefix}"}


@pytest.fixture(scope="module")
def ended(kube, output):
    """Wait for a job."""

    def wait(name: str) -> dict[str, Any]:
        return stories.wait_until(
            lambda: kube.get("ftj", name, output["namespace"]),
            stories.ended,
            what=f"{name} to end",
            seconds=SECONDS,
        )

    return wait


@pytest.fixture(scope="module")
def ran(kube, bucket, output, ended):
    """Apply a job that publishes there, and wait for it."""

    def run(name: str, **said: Any) -> dict[str, Any]:
        place = {"uri": output["uri"], "credentialsSecretRef": {"name": "bucket"}, **said}
        manifest = stories.finetunejob(
            name, output["namespace"], bucket=bucket.name, output=place, training=SHORT
        )
        kube.apply(manifest)
        return ended(name)

    return run


@pytest.fixture(scope="module")
def first(ran):
    """A job that publishes merged weights, in 16 bits."""
    job = ran("first", merged=True, dtype="bf16")
    assert job["status"]["state"] == "Succeeded", stories.says(job)
    return job


def downloaded(bucket: stories.Bucket, prefix: str, folder: pathlib.Path) -> pathlib.Path:
    shutil.rmtree(folder, ignore_errors=True)
    for key in bucket.keys(prefix):
        file = folder / key.removeprefix(f"{prefix}/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bucket.get(key))
    return folder


def test_the_pages_reader_finds_it_whole(first, bucket, output, tmp_path):
    folder = downloaded(bucket, output["prefix"], tmp_path / "result")

    manifest = publish_table.reader()(folder)

    assert manifest["job"]["uid"] == first["metadata"]["uid"]
    assert {"merged/config.json", "merged/model.safetensors"} <= manifest["files"].keys()
    assert first["status"]["adapter"]["merged"] is True
    assert first["status"]["adapter"]["serving"]["transformers"].endswith('("./first/merged")')
    header = (folder / "adapter_model.safetensors").read_bytes()[8:200]
    assert b'"BF16"' in header


def test_another_job_is_refused_before_it_trains(first, ran, bucket, output):
    before = bucket.get(f"{output['prefix']}/finetune-manifest.json")

    job = ran("second")

    assert stories.condition(job, "Succeeded")["reason"] == "OutputExists", stories.says(job)
    assert f"{output['namespace']}/first" in stories.condition(job, "Succeeded")["message"]
    assert [one["stage"] for one in job["status"]["attempts"]] == ["Prepare"]
    assert bucket.get(f"{output['prefix']}/finetune-manifest.json") == before


def test_a_job_whose_status_was_wiped_finds_its_result_and_trains_nothing(first, ended, kube, bucket, output):
    namespace = output["namespace"]
    before = bucket.get(f"{output['prefix']}/finetune-manifest.json")
    for job in kube.list("jobs", namespace):
        kube.kubectl("delete", "job", job["metadata"]["name"], "-n", namespace)
    patch = json.dumps({"status": None})

    kube.kubectl(
        "patch", "ftj", "first", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch
    )
    job = ended("first")

    assert stories.condition(job, "Succeeded")["reason"] == "AlreadyPublished", stories.says(job)
    assert [one["stage"] for one in job["status"]["attempts"]] == ["Prepare"]
    assert job["status"]["adapter"]["digest"] == first["status"]["adapter"]["digest"]
    assert bucket.get(f"{output['prefix']}/finetune-manifest.json") == before


def test_with_overwrite_it_is_replaced_and_nothing_of_it_is_left(first, ran, bucket, output, tmp_path):
    job = ran("third", overwrite=True)

    assert job["status"]["state"] == "Succeeded", stories.says(job)
    manifest = publish_table.reader()(downloaded(bucket, output["prefix"], tmp_path / "result"))
    assert manifest["job"]["uid"] == job["metadata"]["uid"]
    there = {key.removeprefix(f"{output['prefix']}/") for key in bucket.keys(output["prefix"])}
    left = {name for name in there if not name.startswith(".finetune/")}
    assert left == manifest["files"].keys() | {"finetune-manifest.json"}

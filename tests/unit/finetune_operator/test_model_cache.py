"""The model cache: mounted writable where nothing waits for a GPU, read-only where training runs, and only where it helps."""

import pytest

import kube_objects
from finetune_operator.api import sources
from finetune_operator.observe.job import job, profile
from finetune_operator.plan.accept import Installed, accept, spec_of
from finetune_operator.plan.config_map import config_map, run_plan
from finetune_operator.plan.prepare_job import prepare_job
from finetune_operator.plan.training_job import training_job

PROFILE = kube_objects.fine_tune_profile("cached", modelCache={"claimName": "models"})


def pods(model_uri: str, **spec) -> dict[str, dict]:
    """The pod of each stage for a job that uses the profile."""
    seen = job(kube_objects.fine_tune_job(profile="cached", model={"uri": model_uri}, **spec))
    plan = accept(seen, {"cached": profile(PROFILE)}, Installed(trainer_image="registry.example/trainer:1"))
    assert run_plan(config_map(seen.owner, plan)) == plan
    scheduling = spec_of(seen).scheduling
    jobs = {
        "Prepare": prepare_job(seen.owner, plan, scheduling, 1),
        "Train": training_job(seen.owner, plan, scheduling, 1, prepared=kube_objects.DIGEST),
    }
    return {stage: made["spec"]["template"]["spec"] for stage, made in jobs.items()}


def of_cache(pod: dict) -> tuple[list[dict], list[dict]]:
    """Its volume and its mount."""
    volumes = [one for one in pod["volumes"] if one["name"] == "model-cache"]
    return volumes, [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "model-cache"]


@pytest.mark.parametrize("uri", ["hf://org/name", "s3://b/model", "gs://b/model", "az://b/model"])
def test_prepare_fills_it_and_training_only_reads(uri):
    found = pods(uri)

    assert of_cache(found["Prepare"]) == (
        [{"name": "model-cache", "persistentVolumeClaim": {"claimName": "models"}}],
        [{"name": "model-cache", "mountPath": "/mnt/cache", "readOnly": False}],
    )
    assert of_cache(found["Train"]) == (
        [{"name": "model-cache", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}}],
        [{"name": "model-cache", "mountPath": "/mnt/cache", "readOnly": True}],
    )


def test_a_model_that_lies_on_a_claim_needs_no_cache():
    assert [of_cache(pod) for pod in pods("pvc://models/base").values()] == [([], [])] * 2


def judged_by(**model) -> dict:
    return {"metrics": ["bertscore"], "bertScore": {"model": model}}


def test_a_scoring_model_that_is_downloaded_is_kept_there_too():
    found = pods("pvc://models/base", evaluation=judged_by(uri="hf://org/encoder"))
    assert [len(of_cache(pod)[0]) for pod in found.values()] == [1, 1]


def test_a_scoring_model_is_mounted_as_the_base_model_is():
    """Its claim, read-only, and its Secret: its own, else the output's where the bucket is the same."""

    def plan(**model):
        spec = {"output": {"uri": "s3://bucket/out", "credentialsSecretRef": {"name": "keys"}}}
        seen = job(kube_objects.fine_tune_job(**spec, evaluation=judged_by(**model)))
        return accept(seen, {}, Installed(trainer_image="registry.example/trainer:1"))

    def secret(found) -> dict | None:
        return found.run["evaluation"]["bertScore"]["model"].get("credentialsSecretRef")

    on_a_claim = plan(uri="pvc://encoders/bert")
    assert [(one.name, one.writable) for one in on_a_claim.pods.claims] == [("encoders", False)]
    assert secret(plan(uri="s3://bucket/encoder")) == {"name": "keys"}
    assert secret(plan(uri="s3://other/encoder")) is None
    own = plan(uri="s3://other/encoder", credentialsSecretRef={"name": "own"})
    assert secret(own) == {"name": "own"}
    assert own.pods.secrets == ["keys", "own"]


def test_the_rows_of_a_task_are_mounted_as_data_are():
    """Claims and ConfigMaps, and a Secret: its own, else the output's where the bucket is the same."""

    def asked(number: int, **data) -> dict:
        how = {"prompt": "{question}", "target": "answer", "generate": {}}
        return {"name": f"task{number}", "data": data, **how}

    rows = [
        asked(0, uri="pvc://rows/a.jsonl"),
        asked(1, uri="configmap://rows/b.jsonl"),
        asked(2, uri="s3://bucket/c.jsonl"),
        asked(3, uri="s3://other/d.jsonl", credentialsSecretRef={"name": "own"}),
    ]
    spec = {"output": {"uri": "s3://bucket/out", "credentialsSecretRef": {"name": "keys"}}}
    seen = job(kube_objects.fine_tune_job(**spec, evaluation={"tasks": rows}))
    found = accept(seen, {}, Installed(trainer_image="registry.example/trainer:1"))

    assert [(one.name, one.writable) for one in found.pods.claims] == [("rows", False)]
    assert found.pods.config_maps == ["rows"]
    assert found.pods.secrets == ["keys", "own"]
    secrets = [task["data"].get("credentialsSecretRef") for task in found.run["evaluation"]["tasks"]]
    assert secrets == [None, None, {"name": "keys"}, {"name": "own"}]


def test_a_job_without_tasks_says_nothing_of_them():
    """An image of an earlier version would not know the field."""
    found = accept(
        job(kube_objects.fine_tune_job()), {}, Installed(trainer_image="registry.example/trainer:1")
    )
    assert "tasks" not in found.run["evaluation"]


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_a_source_in_the_outputs_bucket_gets_the_outputs_secret(scheme):
    secret = {"name": "keys"}
    spec = {
        "model": {"uri": f"{scheme}://bucket/model"},
        "dataset": {"train": [{"uri": f"{scheme}://bucket/a.jsonl"}, {"uri": f"{scheme}://other/a.jsonl"}]},
        "output": {
            "uri": f"{scheme}://bucket/out",
            "workUri": f"{scheme}://bucket/work",
            "credentialsSecretRef": secret,
        },
    }
    plan = accept(
        job(kube_objects.fine_tune_job(**spec)), {}, Installed(trainer_image="registry.example/trainer:1")
    )

    train = plan.run["dataset"]["train"]
    assert plan.run["model"]["credentialsSecretRef"] == train[0]["credentialsSecretRef"] == secret
    assert "credentialsSecretRef" not in train[1]
    assert plan.pods.secrets == ["keys"]


def test_a_file_of_the_machine_is_no_place_for_a_cluster():
    assert "file" not in {*sources.MODEL_SCHEMES, *sources.DATA_SCHEMES, *sources.OUTPUT_SCHEMES}

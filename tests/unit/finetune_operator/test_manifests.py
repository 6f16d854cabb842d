"""Golden files: what is created for a job, whole. `UPDATE_GOLDEN=1 pytest ...` writes them anew; read the diff."""

import json
import os
import pathlib

import pytest
import yaml

import kube_objects
from finetune_operator.names import Owner
from finetune_operator.observe.job import job, profile
from finetune_operator.plan.accept import Installed, accept, spec_of
from finetune_operator.plan.config_map import config_map, run_plan
from finetune_operator.plan.prepare_job import prepare_job
from finetune_operator.plan.training_job import training_job

DATA = pathlib.Path(__file__).parents[2] / "data" / "manifests"

FULL_PROFILE = {
    "image": "registry.example/trainer@sha256:" + "12" * 32,
    "imagePullSecrets": [{"name": "pull"}],
    "gpu": {"resource": "nvidia.com/gpu", "memory": "80Gi", "teraflops": 990.0},
    "placement": {
        "nodeSelector": {"gpu": "h100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "runtimeClassName": "nvidia",
    },
    "queues": {"queueName": "gpus", "prepareQueueName": "cpus"},
    "fsGroup": 2000,
    "gracePeriodSeconds": 300,
    "env": [{"name": "NCCL_DEBUG", "value": "WARN"}, {"name": "HOME", "value": "/root"}],
    "extraCa": {"name": "company-ca"},
    "mirrors": {"hub": "https://hub.example", "offline": False},
    "allowed": {
        "serviceAccounts": ["trainer"],
        "datasets": ["s3://team-a", "configmap://rows", "pvc://data"],
    },
    "prices": {"currency": "EUR", "gpuHour": 2.5},
}
JOBS = {
    "minimal-on-cpu": ({}, {}),
    "everything": (
        {
            "profile": "full",
            "model": {"uri": "pvc://models/qwen"},
            "dataset": {
                "train": [
                    {"uri": "s3://team-a/a.jsonl"},
                    {"uri": "s3://team-a/b.jsonl", "credentialsSecretRef": {"name": "reader"}},
                    {"uri": "configmap://rows/c.jsonl"},
                ],
                "eval": [{"uri": "pvc://data/eval"}],
            },
            "output": {"uri": "s3://team-a/adapters/x", "workUri": "pvc://work/area"},
            "resources": {
                "gpusPerNode": 2,
                "cpu": "16",
                "memory": "64Gi",
                "prepare": {"cpu": "2", "memory": "8Gi"},
            },
            "scheduling": {
                "queueName": "urgent",
                "priorityClassName": "high",
                "workloadPriorityClassName": "prod",
                "nodeSelector": {"zone": "a"},
                "tolerations": [{"key": "spot", "operator": "Exists"}],
            },
            "serviceAccountName": "trainer",
            "runPolicy": {"stallTimeoutSeconds": 600},
        },
        {"full": kube_objects.fine_tune_profile("full", generation=3, **FULL_PROFILE)},
    ),
}


def accepted(name):
    spec, profiles = JOBS[name]
    seen = job(kube_objects.fine_tune_job(**spec))
    plan = accept(
        seen,
        {key: profile(raw) for key, raw in profiles.items()},
        Installed(trainer_image="registry.example/finetune-trainer:1"),
    )
    return seen, plan


def built(name):
    seen, plan = accepted(name)
    stored = config_map(seen.owner, plan)
    scheduling = spec_of(seen).scheduling
    return {
        "config-map": {**stored, "data": {key: json.loads(value) for key, value in stored["data"].items()}},
        "prepare-job": prepare_job(seen.owner, plan, scheduling, 1),
        "training-job": training_job(seen.owner, plan, scheduling, 2, prepared=kube_objects.DIGEST),
    }


@pytest.mark.parametrize("kind", ["config-map", "prepare-job", "training-job"])
@pytest.mark.parametrize("name", JOBS)
def test_the_manifest_is_the_golden_one(name, kind):
    path = DATA / f"{name}.{kind}.yaml"
    found = json.loads(json.dumps(built(name)[kind]))
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(found, sort_keys=False, width=140))
    assert found == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", JOBS)
def test_two_builds_are_equal_and_share_nothing(name):
    first, second = built(name), built(name)
    assert first == second
    assert not shared(first["training-job"]) & shared(second["training-job"])
    assert len(shared(first["training-job"])) == count(first["training-job"])


@pytest.mark.parametrize("name", JOBS)
def test_the_plan_survives_its_config_map(name):
    seen, plan = accepted(name)
    assert run_plan(config_map(seen.owner, plan)) == plan


@pytest.mark.parametrize("name", JOBS)
def test_names_fit_and_labels_are_never_the_users(name):
    owner = Owner("team-a", "a" * 40, "u")
    seen, plan = accepted(name)
    found = training_job(owner, plan, spec_of(seen).scheduling, 288, prepared=kube_objects.DIGEST)
    assert len(found["metadata"]["name"]) + len("-255") <= 63
    for labels in (found["metadata"]["labels"], found["spec"]["template"]["metadata"]["labels"]):
        assert all(
            key.startswith(("finetune.dev/", "app.kubernetes.io/", "kueue.x-k8s.io/")) for key in labels
        )


def test_jobs_of_one_name_and_different_uids_have_different_children():
    _, plan = accepted("minimal-on-cpu")
    seen = job(kube_objects.fine_tune_job())
    first, second = (
        prepare_job(Owner("team-a", "x", uid), plan, spec_of(seen).scheduling, 1)["metadata"]["name"]
        for uid in ("1", "2")
    )
    assert first != second


def test_simulated_gpus_are_asked_for_and_training_goes_on_cpu():
    trial = profile(kube_objects.fine_tune_profile("trial", gpu={"simulated": True}))
    asked = job(kube_objects.fine_tune_job(profile="trial", resources={"gpusPerNode": 4}))
    plan = accept(asked, {"trial": trial}, Installed(trainer_image="registry.example/finetune-trainer:1"))
    assert plan.pods.gpus == 4
    assert (plan.run["resources"]["accelerator"], plan.run["resources"]["processesPerNode"]) == ("cpu", 1)


def test_a_gpu_is_asked_for_in_training_only():
    kinds = built("everything")
    prepare, train = (
        kinds[kind]["spec"]["template"]["spec"]["containers"][0] for kind in ("prepare-job", "training-job")
    )
    assert train["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "nvidia.com/gpu" not in prepare["resources"]["limits"]


def shared(value):
    return {id(one) for one in walk(value)}


def count(value):
    return len(list(walk(value)))


def walk(value):
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from walk(one)
    elif isinstance(value, list):
        yield value
        for one in value:
            yield from walk(one)

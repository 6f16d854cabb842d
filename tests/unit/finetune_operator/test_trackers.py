"""What a tracker may ask of the pods: its Secret where there is one, and nothing that a pod would wait for."""

import contract_runs
import kube_objects
from finetune_operator.api.running import Scheduling
from finetune_operator.observe.job import job
from finetune_operator.plan import prepare_job, training_job
from finetune_operator.plan.accept import Installed, accept
from finetune_operator.plan.run_plan import PodPlan, RunPlan
from finetune_operator.status import results

DIGEST = "sha256:" + "ab" * 32
TRACKING = {
    "wandb": {"project": "p", "credentialsSecretRef": {"name": "wandb"}},
    "mlflow": {"trackingUri": "https://mlflow.example", "credentialsSecretRef": {"name": "bucket"}},
    "tensorboard": {},
}


def accepted(**tracking) -> RunPlan:
    made = kube_objects.fine_tune_job(tracking=tracking)
    return accept(job(made), {}, Installed(trainer_image="registry.example/trainer:1"))


def mounted(made) -> dict[str, bool]:
    """Secret -> whether the pod starts without it."""
    volumes = made["spec"]["template"]["spec"]["volumes"]
    return {
        one["secret"]["secretName"]: one["secret"]["optional"]
        for one in volumes
        if one["name"].startswith("secret-")
    }


def test_no_training_pod_waits_for_a_secret_that_only_a_tracker_needs():
    plan = accepted(**TRACKING)
    made = training_job.training_job(contract_runs.OWNER, plan, Scheduling(), 1, prepared=DIGEST)
    assert mounted(made) == {"bucket": False, "wandb": True}
    paths = {one["mountPath"] for one in made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert "/etc/finetune/credentials/wandb" in paths


def test_prepare_has_them_all_to_look_at():
    made = prepare_job.prepare_job(contract_runs.OWNER, accepted(**TRACKING), Scheduling(), 1)
    assert mounted(made) == {"bucket": True, "wandb": True}


def test_what_an_earlier_operator_planned_is_still_read():
    """Its ConfigMap knows no Secrets that only trackers need."""
    plan = accepted(**TRACKING).pods.wire()
    del plan["trackerSecrets"]
    assert PodPlan.model_validate(plan).tracker_secrets == []


def test_the_run_holds_what_was_said():
    assert accepted(**TRACKING).run["tracking"] == {
        "wandb": {"mode": "Online", **TRACKING["wandb"]},
        "mlflow": TRACKING["mlflow"],
        "tensorboard": {"enabled": True},
    }


def test_warnings_are_shown_in_the_status():
    said = ["MLflow: no answer; the run goes on without it"]
    assert results.progress({"stage": "Train", "step": 1, "warnings": said}).warnings == said
    assert results.progress({"stage": "Train", "step": 1, "warnings": "no list"}).warnings is None

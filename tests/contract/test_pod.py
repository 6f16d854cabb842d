"""How the trainer is started: its arguments, and where things lie in its pod (sections 1 and 5 of docs/contract.md)."""

import dataclasses
import json
import pathlib

import pytest

import contract_fields
import contract_runs
import kube_objects
from finetune_operator import names
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.running import Scheduling
from finetune_operator.observe import job as observe_job
from finetune_operator.plan import accept, pod, prepare_job, training_job
from finetune_operator.status import endings
from finetune_trainer import command, errors, failpoints, prepared
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import serve

DIGEST = "sha256:" + "ab" * 32
SPEC = {
    "model": {"uri": "pvc://models/base", "credentialsSecretRef": {"name": "hub"}},
    "dataset": {"train": [{"uri": "configmap://data/rows.jsonl"}]},
    "output": {"uri": "s3://team-a/out", "credentialsSecretRef": {"name": "bucket"}},
}


@pytest.fixture
def plan():
    seen = observe_job.job(kube_objects.fine_tune_job(**SPEC))
    found = accept.accept(seen, {}, accept.Installed(trainer_image="registry/trainer:tag"))
    return found.__class__(run=found.run, pods=found.pods.model_copy(update={"extra_ca": "authorities"}))


def containers(plan):
    """Of both stages."""
    jobs = (
        prepare_job.prepare_job(contract_runs.OWNER, plan, Scheduling(), 2),
        training_job.training_job(contract_runs.OWNER, plan, Scheduling(), 3, prepared=DIGEST),
    )
    return [job["spec"]["template"]["spec"]["containers"] for job in jobs]


def test_the_trainer_understands_what_the_operator_asks_of_it(plan):
    ((prepare,), (train,)) = containers(plan)
    asked = command.parser().parse_args(prepare["args"])
    assert (asked.name, asked.run, asked.attempt) == ("prepare", Layout().run, 2)
    asked = command.parser().parse_args(train["args"])
    assert (asked.name, asked.run, asked.attempt, asked.prepared) == ("train", Layout().run, 3, DIGEST)


def test_the_trainer_understands_where_node_0_is():
    seen = observe_job.job(kube_objects.fine_tune_job(**SPEC, resources={"nodes": 2}))
    found = accept.accept(seen, {}, accept.Installed(trainer_image="registry/trainer:tag"))
    made = training_job.training_job(contract_runs.OWNER, found, Scheduling(), 3, prepared=DIGEST)
    template = made["spec"]["template"]["spec"]
    asked = command.parser().parse_args(template["containers"][0]["args"])
    host, _, port = asked.main.rpartition(":")
    assert int(port) == serve.PORT
    assert host.startswith(f"{made['metadata']['name']}-0.{template['subdomain']}.")


def test_an_end_that_only_followed_another_is_known_to_both():
    assert errors.PeerLost.__name__ == endings.CONSEQUENCE


def test_the_digest_that_the_operator_passes_on_is_one_that_the_trainer_takes():
    assert prepared.key_of(DIGEST) == "dataset/" + "ab" * 32


def test_everything_is_mounted_where_the_trainer_looks(plan):
    layout = Layout()
    expected = {
        str(layout.run),
        str(layout.scratch),
        str(layout.ca.parent),
        str(layout.credentials / "bucket"),
        str(layout.credentials / "hub"),
        str(layout.configmaps / "data"),
        str(layout.claims / "models"),
        "/tmp",  # noqa: S108 - the pod's
        "/dev/shm",  # noqa: S108 - the pod's
    }
    for (container,) in containers(plan):
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == expected
        assert container["terminationMessagePath"] == str(layout.termination_log)


def test_the_model_cache_is_mounted_where_the_trainer_looks(plan):
    cached = plan.__class__(run=plan.run, pods=plan.pods.model_copy(update={"model_cache": "models"}))
    for (container,) in containers(cached):
        assert str(Layout().cache) in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_folders_of_the_environment_are_those_the_trainer_makes(tmp_path):
    layout = Layout()
    assert {name: pathlib.Path(path) for name, path in pod.HOMES.items()} == {
        "HOME": layout.home,
        "HF_HOME": layout.hub_cache,
        "TMPDIR": layout.temporary,
    }
    here = Layout.under(tmp_path)
    here.make_folders()
    assert here.home.is_dir()
    assert here.temporary.is_dir()


def test_no_job_can_arm_the_failpoints_of_tests(plan):
    """They are read from the environment, which is the profile's alone; Secrets and ConfigMaps are files."""
    assert not [
        path for path in contract_fields.fields(FineTuneJobSpec) if path.rpartition(".")[2].startswith("env")
    ]
    for (container,) in containers(plan):
        assert {one["name"] for one in container["env"]} == set(pod.HOMES)
        assert all("value" in one for one in container["env"])
        assert "envFrom" not in container
        assert failpoints.VARIABLE not in json.dumps(container)


def test_the_operator_asks_where_the_trainer_answers(plan):
    assert serve.PORT == names.PROGRESS_PORT
    for (container,) in containers(plan):
        assert container["ports"] == [{"name": "progress", "containerPort": serve.PORT, "protocol": "TCP"}]


def test_the_user_of_the_pod_is_the_user_of_the_image():
    text = (pathlib.Path(__file__).resolve().parents[2] / "trainer-image" / "Dockerfile").read_text()
    assert f"USER {pod.UID}:{pod.UID}" in text


def test_the_layout_holds_no_path_that_the_contract_does_not():
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "contract.md").read_text()
    for field in dataclasses.fields(Layout):
        assert str(getattr(Layout(), field.name)) in page

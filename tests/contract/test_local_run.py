"""`kubectl finetune run --local` keeps the contract as the operator does: run.json, the pod's tree, the arguments."""

import copy
import json
import re
from pathlib import Path

import pytest

import contract_runs
import examples
from finetune_trainer import command, config
from finetune_trainer.layout import Layout
from kubectl_finetune import errors
from kubectl_finetune.job import manifest
from kubectl_finetune.local import resolve
from kubectl_finetune.local.folder import Folder, StandIns, keys
from kubectl_finetune.local.machine import Machine

LAPTOP = Machine(cpus=8, memory_bytes=16 << 30, disk_bytes=100 << 30)
WORKSTATION = Machine(
    cpus=16, memory_bytes=64 << 30, disk_bytes=100 << 30, gpu_memory_bytes=(24 << 30, 48 << 30)
)
LOCAL = {
    "model": {"uri": "file:///models/tiny"},
    "dataset": {"train": [{"uri": "file://data/train.jsonl"}]},
    "output": {"uri": "file://out"},
}
HERE = Path("/home/me/job")
JOBS = {where: one for where, one in examples.found() if one["kind"] == "FineTuneJob"}


def resolved(spec, machine=LAPTOP, **given):
    return resolve.resolved(manifest.of("bot", copy.deepcopy(spec)), machine, beside=HERE, **given)


def parsed(run):
    return config.parse(json.dumps(run).encode())


def test_paths_of_this_machine_are_files_to_the_trainer():
    run = parsed(resolved(LOCAL))

    assert run.model.uri == "file:///models/tiny"
    assert run.dataset.train[0].uri == "file:///home/me/job/data/train.jsonl"
    assert run.output.uri == "file:///home/me/job/out"


KINDS = {"pvc": "--claim data=DIR", "configmap": "--configmap data=DIR"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_a_cluster_needs_somebody_to_stand_for_it(kind):
    with pytest.raises(errors.Mistake, match=KINDS[kind]):
        resolved({**LOCAL, "dataset": {"train": [{"uri": f"{kind}://data/rows.jsonl"}]}})


@pytest.mark.parametrize("where", JOBS)
def test_every_example_runs_here_unchanged(where):
    job = JOBS[where]
    if "jobRef" in json.dumps(job["spec"]):
        with pytest.raises(errors.Mistake, match="a job of a cluster cannot be read from this machine"):
            resolve.resolved(job, LAPTOP, beside=HERE)
        return

    names = {
        kind: dict.fromkeys(re.findall(rf"{kind}://([^/\"]+)", json.dumps(job["spec"])), HERE)
        for kind in KINDS
    }
    at_hand = StandIns(claims=names["pvc"], configmaps=names["configmap"])
    run = parsed(resolve.resolved(job, LAPTOP, beside=HERE, at_hand=at_hand))

    assert (run.model.uri, run.output.uri) == (job["spec"]["model"]["uri"], job["spec"]["output"]["uri"])
    assert run.resources.accelerator == "cpu"


@pytest.mark.parametrize(
    ("machine", "asked", "accelerator", "processes"),
    [
        (LAPTOP, {}, "cpu", 1),
        (LAPTOP, {"gpusPerNode": 8}, "cpu", 1),
        (WORKSTATION, {}, "cuda", 2),
        (WORKSTATION, {"gpusPerNode": 0}, "cpu", 1),
    ],
)
def test_a_job_gets_what_the_machine_has(machine, asked, accelerator, processes):
    run = parsed(resolved({**LOCAL, "resources": {"nodes": 4, **asked}}, machine))

    assert (run.resources.accelerator, run.resources.processes, run.resources.nodes) == (
        accelerator,
        processes,
        1,
    )
    assert run.resources.memory_bytes == machine.memory_bytes
    assert run.resources.gpu_memory_bytes == (24 << 30 if machine is WORKSTATION else None)


def test_only_secrets_at_hand_are_named():
    spec = copy.deepcopy(contract_runs.SHORTEST)
    spec["output"]["credentialsSecretRef"] = {"name": "bucket"}
    spec["model"]["credentialsSecretRef"] = {"name": "hub"}

    run = parsed(resolved(spec, at_hand=StandIns(secrets={"bucket": {}})))

    assert run.model.credentials_secret_ref is None
    assert run.dataset.train[0].credentials_secret_ref.name == "bucket", "the output's, as in a cluster"
    assert run.output.credentials_secret_ref.name == "bucket"


def test_the_same_job_goes_on_and_a_changed_one_is_another():
    less_disk = Machine(cpus=8, memory_bytes=16 << 30, disk_bytes=1 << 30)
    uid = resolved(LOCAL)["job"]["uid"]

    assert resolved(LOCAL, less_disk)["job"]["uid"] == uid
    assert resolved({**LOCAL, "method": "DPO"})["job"]["uid"] != uid


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"uri": "file:///a b"}}, "contains a space"),
        ({"training": {"epochs": 1, "maxSteps": 1}}, "spec.training: set epochs or maxSteps, not both"),
        ({"model": {"uri": "oci://a/b"}}, "spec.model.uri: oci://a/b is not supported yet"),
        ({"model": None}, "spec.model"),
    ],
)
def test_what_the_operator_would_refuse_is_refused_here(change, said):
    with pytest.raises(errors.Mistake) as told:
        resolved({**LOCAL, **change})

    assert said in str(told.value)


@pytest.mark.parametrize(
    "field", [{"serviceAccountName": "trainer"}, {"profile": "big"}, {"serviceAccountName": "trainer", "profile": "big"}]
)  # fmt: skip
def test_what_only_a_cluster_has_is_left_out(field):
    assert resolved({**LOCAL, **field}) == resolved(LOCAL)


def test_a_result_that_goes_elsewhere_leaves_the_sources_their_secret(tmp_path):
    spec = {
        **LOCAL,
        "dataset": {"train": [{"uri": "s3://team-a/t.jsonl"}]},
        "output": {
            "uri": "s3://team-a/out",
            "workUri": "s3://team-a/w",
            "credentialsSecretRef": {"name": "bucket"},
        },
    }
    run = resolve.resolved(
        manifest.of("bot", spec),
        None,
        beside=tmp_path,
        at_hand=StandIns(secrets={"bucket": {}}),
        to=tmp_path / "here",
    )

    assert run["dataset"]["train"][0]["credentialsSecretRef"] == {"name": "bucket"}
    assert run["output"]["uri"] == f"file://{tmp_path}/here"
    assert "workUri" not in run["output"], "nothing is written elsewhere"


def test_the_folder_is_the_trainers_layout(tmp_path):
    folder, layout = Folder(tmp_path), Layout.under(tmp_path / "pod")
    (tmp_path / "keys").write_text("# mine\nexport HF_TOKEN='abc'\n\nAWS_REGION=eu\n")
    folder.make({"version": 1})
    hub = keys(tmp_path / "keys")
    folder.mount(StandIns(secrets={"hub": hub}, claims={"data": tmp_path}, configmaps={"rows": tmp_path}))

    assert (folder.run, folder.last_word) == (layout.run, layout.termination_log)
    assert {path.name: path.read_text() for path in (layout.credentials / "hub").iterdir()} == {
        "HF_TOKEN": "abc",
        "AWS_REGION": "eu",
    }
    assert (layout.claims / "data").resolve() == (layout.configmaps / "rows").resolve() == tmp_path.resolve()


def test_the_trainer_understands_the_arguments():
    words = ["--run", "r", "--attempt", "1", "--layout-root", "d", "--port", "1"]

    assert command.parser().parse_args(["prepare", *words]).port == 1
    assert command.parser().parse_args(["train", *words, "--prepared", "sha256:0"]).prepared == "sha256:0"

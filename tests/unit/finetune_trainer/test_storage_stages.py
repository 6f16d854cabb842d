"""A job whose model, data, work area and output all lie in one bucket: what the stages do there, on each vendor's server."""

import json

import pytest
from transformers import AutoModelForCausalLM

import trainer_world
from finetune_trainer import checkpoint, outcome, report
from finetune_trainer.storage import Role
from finetune_trainer.supervisor import fetch, uploads
from finetune_trainer.supervisor.fence import Fence
from trainer_places import opened, secret
from trainer_world import TALK, World

pytestmark = pytest.mark.slow  # whole stages over every kind of server

SECRET = {"name": "keys"}


@pytest.fixture(params=["s3", "gs", "az"])
def job(request, tmp_path):
    """A pod with a model cache and the run of a job; the bucket holds model and data."""
    server = request.getfixturevalue(request.param)
    name = tmp_path.name.replace("_", "-").lower()[:40].strip("-")
    server.bucket(name)
    world = World.at(tmp_path)
    world.layout.cache.mkdir()
    keys = secret(world.layout, "keys", **server.keys)
    bucket = opened(world.layout, f"{request.param}://{name}/", keys, role=Role.OUTPUT)
    bucket.delete_below("")
    for file in world.model.iterdir():
        bucket.put(f"models/tiny/{file.name}", file)
    bucket.put("rows/train.jsonl", "".join(json.dumps(row) + "\n" for row in TALK).encode())
    base = f"{request.param}://{name}"
    run = trainer_world.run(
        model={"uri": f"{base}/models/tiny", "credentialsSecretRef": SECRET},
        dataset={"train": [{"uri": f"{base}/rows/*.jsonl", "credentialsSecretRef": SECRET}]},
        output={"uri": f"{base}/out", "workUri": f"{base}/work", "credentialsSecretRef": SECRET},
    )
    return world, run, bucket


def test_prepare_writes_and_training_reads(job):
    world, run, bucket = job

    result = world.prepare(run)

    work = outcome.work_area(run, world.layout)
    writer = report.ProgressWriter(world.layout.progress, attempt=1)
    ready = fetch.dataset(work, world.layout, result.result["dataset"]["digest"], writer)
    fetch.model(run, world.layout, ready, writer)
    assert writer.now.message == "the model is read from the cache"
    assert (world.layout.model / "model.safetensors").is_symlink()
    AutoModelForCausalLM.from_pretrained(world.layout.model)
    assert {key.partition("/")[0] for key in (item.key for item in bucket.list())} == {
        "models",
        "rows",
        "work",
    }


def test_a_checkpoint_goes_out_and_comes_back(job, tmp_path):
    world, run, _ = job
    work = outcome.work_area(run, world.layout)
    said: list[str] = []
    for step in (2, 4, 6):
        folder = tmp_path / "finished" / f"step-{step}"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes([step]) * 1000)
        sent = uploads.Uploads(
            work,
            tmp_path / "finished",
            fingerprint="sha256:a",
            keep=2,
            fence=Fence.raised(work),
            say=said.append,
        )
        sent._sweep()

    found = uploads.newest(work, tmp_path / "resume", fingerprint="sha256:a", say=said.append)

    assert found.checkpoint.step == 6
    assert (tmp_path / "resume" / "weights").read_bytes() == b"\x06" * 1000
    manifests = [item.key for item in work.list(uploads.FOLDER) if item.key.endswith(checkpoint.MANIFEST)]
    assert [key.split("/")[1] for key in manifests] == ["step-4", "step-6"]

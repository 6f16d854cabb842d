"""Prepare and Train as their pods run them, on the tiny model: real processes, `accelerate launch`, a claim for a bucket."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trainer_runs
from finetune_trainer.layout import Layout
from trainer_processes import copied, ran, slow_steps, start, stop_while_training, word

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 12
CHANGES: dict[str, Any] = {"training": {"maxSteps": STEPS}, "checkpoint": {"everySteps": 50}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Layout, dict[str, Any]]:
    layout = trainer_runs.pod(tmp_path_factory.mktemp("prepare") / "pod", **CHANGES)
    return layout, ran(layout, "prepare", "--attempt", "1")


@pytest.fixture(scope="module")
def published(prepared, tmp_path_factory) -> tuple[Layout, dict[str, Any]]:
    """A job that nobody disturbed."""
    layout = copied(prepared[0], tmp_path_factory.mktemp("train") / "pod")
    digest = prepared[1]["result"]["dataset"]["digest"]
    return layout, ran(layout, "train", "--attempt", "1", "--prepared", digest)


def output(layout: Layout) -> Path:
    return layout.claims / "output/tiny"


def test_prepare_tells_train_what_it_needs(prepared):
    told = prepared[1]
    assert (told["stage"], told["reason"]) == ("Prepare", "Prepared")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", told["result"]["dataset"]["digest"])
    assert told["result"]["resolved"]["totalSteps"] == STEPS


def test_train_tells_the_contracts_result(published):
    told = published[1]
    assert (told["stage"], told["reason"]) == ("Train", "Published")
    result = told["result"]
    assert result["adapter"]["type"] == "LoRA"
    assert result["adapter"]["baseModel"] == "pvc://models/tiny"
    assert result["evaluation"]["tuned"]["loss"] > 0
    assert result["progress"]["step"] == STEPS
    assert result["usage"]["gpuSeconds"] == 0
    assert set(result) == {"adapter", "evaluation", "progress", "usage"}


def test_the_manifest_names_every_file_with_its_checksum(published):
    layout, told = published
    folder = output(layout)
    raw = (folder / "finetune-manifest.json").read_bytes()
    assert told["result"]["adapter"]["digest"] == "sha256:" + hashlib.sha256(raw).hexdigest()
    manifest = json.loads(raw)
    lying = {path.name for path in folder.iterdir()} - {"finetune-manifest.json"}
    assert manifest["files"].keys() == lying
    for name, facts in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert facts == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    assert manifest["job"] == trainer_runs.JOB
    assert manifest["versions"]["torch"]
    told["result"]["adapter"].pop("digest")
    assert manifest["result"] == told["result"]


def test_the_data_report_is_published_as_prepare_left_it(prepared, published):
    (left,) = (output(prepared[0]) / ".finetune").rglob("data-report.md")
    for name in ("data-report.md", "data-report.json"):
        assert (output(published[0]) / name).read_bytes() == left.with_name(name).read_bytes()


def test_the_work_in_progress_is_gone(published):
    assert not (output(published[0]) / ".finetune").exists()


def test_no_published_file_names_a_path_of_the_pod_or_holds_a_pickle(published):
    layout = published[0]
    for path in output(layout).iterdir():
        assert str(layout.scratch.parent).encode() not in path.read_bytes(), path.name
        assert path.suffix in {".json", ".jsonl", ".csv", ".safetensors", ".jinja", ".md", ".html"}


def test_it_loads_with_peft_alone(published, tmp_path):
    """In a process that knows nothing of us."""
    program = (
        "import sys, torch\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "base = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "model = PeftModel.from_pretrained(base, sys.argv[2])\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])\n"
        "turns = [{'role': 'user', 'content': 'Hello'}]\n"
        "ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors='pt', return_dict=True)\n"
        "assert torch.isfinite(model(**ids).logits).all()\n"
    )
    layout = published[0]
    arguments = [sys.executable, "-c", program, str(layout.claims / "models/tiny"), str(output(layout))]
    subprocess.run(arguments, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})


def test_the_card_and_the_report_are_for_people(published):
    folder = output(published[0])
    card, report = (folder / "README.md").read_text(), (folder / "report.html").read_text()
    for text in (card, report):
        assert "pvc://models/tiny" in text
        assert "held-out rows" in text
    assert "<polyline" in report
    assert "What is the answer?" in report


def test_a_finished_job_is_never_trained_again(published, prepared):
    layout = published[0]
    for arguments in (
        ("train", "--attempt", "2", "--prepared", prepared[1]["result"]["dataset"]["digest"]),
        ("prepare", "--attempt", "2"),
    ):
        again = ran(layout, *arguments)["result"]
        digest = again.get("published", again)["adapter"]["digest"]
        manifest = (output(layout) / "finetune-manifest.json").read_bytes()
        assert digest == "sha256:" + hashlib.sha256(manifest).hexdigest()


def test_interrupted_in_the_middle_the_next_attempt_ends_bitwise_the_same(prepared, published, tmp_path):
    layout = copied(prepared[0], tmp_path / "pod")
    digest = prepared[1]["result"]["dataset"]["digest"]
    first = start(layout, "train", "--attempt", "1", "--prepared", digest, **slow_steps(12, 2))
    stop_while_training(first, layout)
    assert first.wait(timeout=60) == 75
    told = word(layout)
    assert told["reason"] == "Interrupted"
    assert re.search(
        r"at step \d+ of 12, after a checkpoint; the checkpoint of step \d+ is at pvc://", told["message"]
    )
    assert not (output(layout) / "adapter_model.safetensors").exists()
    next_pod = copied(layout, tmp_path / "next")
    result = ran(next_pod, "train", "--attempt", "2", "--prepared", digest)["result"]
    for name in ("adapter_model.safetensors", "samples.json", "adapter_config.json"):
        assert (output(next_pod) / name).read_bytes() == (output(published[0]) / name).read_bytes(), name
    assert result["evaluation"] == published[1]["result"]["evaluation"]


def test_two_processes_train_as_one(prepared, published, tmp_path):
    """gloo over loopback: the same global batch; without dropout the weights would be equal, with it the loss is alike."""
    layout = trainer_runs.pod(tmp_path / "pod", **CHANGES, resources={"processesPerNode": 2})
    digest = ran(layout, "prepare", "--attempt", "1")["result"]["dataset"]["digest"]
    result = ran(layout, "train", "--attempt", "1", "--prepared", digest)["result"]
    assert result["progress"]["step"] == STEPS
    expected = published[1]["result"]["evaluation"]
    assert result["evaluation"]["base"] == expected["base"]
    assert result["evaluation"]["tuned"]["loss"] == pytest.approx(expected["tuned"]["loss"], rel=0.02)

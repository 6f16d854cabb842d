"""`output.dtype`: weights are published as asked, and are those that were measured."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import fine_tuned
import trainer_runs
from finetune_trainer.task import Task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]


def went(root: Path, tuning: str, **output: Any) -> Task:
    """A run whose `output` says more than where."""
    layout = trainer_runs.pod(root / "pod", tuning={"type": tuning}, output=output)
    document = json.loads(layout.run.read_text())
    if tuning == "Full":
        del document["tuning"]["lora"]
    layout.run.write_text(json.dumps(document))
    layout.make_folders()
    trainer_runs.prepare_by_hand(layout.dataset)
    return fine_tuned.go(layout)


def weights(given: Task) -> dict[str, torch.Tensor]:
    (file,) = given.artefact.glob("*.safetensors")
    return load_file(file)


def dtypes(given: Task) -> set[torch.dtype]:
    return {tensor.dtype for tensor in weights(given).values()}


@pytest.mark.parametrize(
    ("tuning", "asked", "found"),
    [
        ("LoRA", "Auto", torch.float32),
        ("LoRA", "bf16", torch.bfloat16),
        ("QLoRA", "Auto", torch.float32),
        ("QLoRA", "bf16", torch.bfloat16),
        ("Full", "bf16", torch.bfloat16),
        ("Full", "fp32", torch.float32),
    ],
)
def test_weights_are_published_as_asked_and_were_measured_so(tuning, asked, found, tmp_path):
    given = went(tmp_path, tuning, dtype=asked)
    assert dtypes(given) == {found}
    if tuning == "LoRA":
        assert told_loss(given) == pytest.approx(loss(given), rel=1e-4)


def test_rounding_changes_what_lies_there_and_nothing_else(tmp_path):
    plain, rounded = went(tmp_path / "plain", "LoRA"), went(tmp_path / "rounded", "LoRA", dtype="bf16")
    mine, theirs = weights(rounded), weights(plain)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name].to(torch.bfloat16)) for name in theirs)
    assert any(not torch.equal(mine[name].float(), theirs[name]) for name in theirs)
    assert "output.dtype | bf16" in (rounded.artefact / "README.md").read_text()


def told_loss(given: Task) -> float:
    """Held-out loss of the tuned model, as the result tells it."""
    found: float = json.loads(given.trained.read_bytes())["evaluation"]["tuned"]["loss"]
    return found


def loss(given: Task) -> float:
    """The same of the published files, by PEFT and transformers alone."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - only here

    base = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, given.artefact)
    total, learned = 0.0, 0
    for row in pq.read_table(given.dataset / "eval.parquet").to_pylist():
        labels = torch.tensor([row["labels"]])
        count = int((labels[:, 1:] != -100).sum())
        with torch.inference_mode():
            mean = model(input_ids=torch.tensor([row["input_ids"]]), labels=labels).loss.item()
        total, learned = total + mean * count, learned + count
    return total / learned

"""Every method with every way of tuning: pinned losses, bitwise resume, and a result that loads without this project."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

import golden_losses
import trainer_runs
from finetune_trainer import checkpoint, prepared, tables
from finetune_trainer.task import Task
from golden_losses import Case

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
    pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'"),
    pytest.mark.filterwarnings("ignore:.*MatMul8bitLt.*"),
]


def weights(given: Task) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in given.artefact.glob("*.safetensors")}


def loaded(given: Task, case: Case) -> Any:
    """The result as anybody would load it who has transformers and PEFT."""
    if case.tuning["type"] == "Full":
        return AutoModelForCausalLM.from_pretrained(given.artefact, dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)
    return PeftModel.from_pretrained(base, given.artefact)


@pytest.mark.parametrize("case", golden_losses.CASES, ids=lambda case: case.name)
def test_a_run_and_the_same_run_resumed(case: Case, tmp_path: Path):
    whole = golden_losses.a_task(tmp_path / "whole" / "pod", case)
    trained = golden_losses.go(whole)
    found = golden_losses.losses(whole)

    assert golden_losses.pinned(found) == pytest.approx(golden_losses.read()[case.name], rel=1e-4)

    resumed = golden_losses.a_task(
        tmp_path / "resumed" / "pod", case, resume=sealed(whole.finished / "step-4")
    )
    again = golden_losses.go(resumed)
    assert golden_losses.losses(resumed) == found
    assert weights(resumed) == weights(whole)
    assert again.evaluation == trained.evaluation

    model = loaded(whole, case)
    ids = torch.tensor(
        [tables.first_sequence(whole.dataset / prepared.TRAIN, trainer_runs.run(method=case.method))]
    )
    before = AutoModelForCausalLM.from_pretrained(whole.model, dtype=torch.float32)
    with torch.inference_mode():
        assert not torch.allclose(model(input_ids=ids).logits, before(input_ids=ids).logits, atol=1e-3)


def sealed(folder: Path) -> Path:
    """The checkpoint as it is kept: what is not needed to go on is gone."""
    checkpoint.sealed(folder, step=4, fingerprint="f", time=checkpoint.datetime.now().astimezone())
    return folder

"""Training that goes on from an adapter: the reference is right, the losses are TRL's, and one adapter comes out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import golden_losses
import trainer_adapters
import trainer_runs
from finetune_trainer import evaluate, fine_tuning, heldout, prepared, start_adapter, tables
from finetune_trainer.interruption import Interruption
from finetune_trainer.reference import REFERENCE
from finetune_trainer.task import Task
from golden_losses import Case

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]

LN_2 = 0.6931471805599453
DPO = Case("DPO", "DPO", {"type": "LoRA"}, start={})


def made(given: Task) -> Any:
    """The trainer, before its first step."""
    ran = fine_tuning.FineTuning(given, Interruption(), rank=0, world=1)
    trainer = ran._trainer()
    trainer.model.train()  # as it is asked in training
    return trainer


def rows(given: Task, method: str) -> list[heldout.Row]:
    run = trainer_runs.run(method=method)
    table = tables.rows(given.dataset / prepared.EVAL, run).to_dict()
    return heldout.held_out(method, table, beta=0.1, max_length=128).sequences


def log_probs(model: Any, asked: list[heldout.Row]) -> list[float]:
    return evaluate.said_of(model, asked, batch_size=4, move=lambda _: None).log_probs


@pytest.mark.parametrize("tuning", ["LoRA", "QLoRA"])
@pytest.mark.parametrize("method", ["DPO", "KTO"])
def test_before_the_first_step_the_reference_and_what_learns_are_the_adapter_on_the_base(
    method: str, tuning: str, tmp_path: Path
):
    case = Case("", method, {"type": tuning, "lora": {"dropout": 0.1}}, start={})
    given = golden_losses.a_task(tmp_path / "pod", case)
    asked = rows(given, method)
    trainer = made(given)
    learns = log_probs(trainer.model, asked)
    trainer.model.set_adapter(REFERENCE)
    reference = log_probs(trainer.model, asked)
    base = trainer.model.get_base_model()
    assert reference == learns
    with trainer.model.disable_adapter():
        assert log_probs(trainer.model, asked) != reference

    start = load_file(given.dataset / start_adapter.FOLDER / start_adapter.WEIGHTS)
    state = dict(base.named_parameters())
    for name, weight in start.items():
        inside = name.removeprefix("base_model.model.").replace(".weight", f".{REFERENCE}.weight")
        assert torch.equal(state[inside], weight)
    if tuning == "LoRA":
        alone = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)
        alone = PeftModel.from_pretrained(alone, given.dataset / start_adapter.FOLDER)
        assert log_probs(alone, asked) == reference


def test_the_reference_has_no_dropout_in_training(tmp_path: Path):
    case = Case("", "DPO", {"type": "LoRA", "lora": {"dropout": 0.5}}, start={})
    trainer = made(golden_losses.a_task(tmp_path / "pod", case))
    ids = {"input_ids": torch.tensor([[5, 6, 7, 8]])}
    for adapter, same in ((REFERENCE, True), ("default", False)):
        trainer.model.set_adapter(adapter)
        with torch.no_grad():
            first, second = (trainer.model(**ids).logits for _ in range(2))
        assert torch.equal(first, second) is same


@pytest.fixture(scope="module")
def went_on(tmp_path_factory: pytest.TempPathFactory) -> Task:
    given = golden_losses.a_task(tmp_path_factory.mktemp("on") / "pod", DPO)
    golden_losses.go(given)
    return given


def test_the_reference_stays_where_training_began(went_on: Task):
    start = load_file(went_on.dataset / start_adapter.FOLDER / start_adapter.WEIGHTS)
    kept = load_file(went_on.finished / "step-4" / REFERENCE / start_adapter.WEIGHTS)
    assert {name: weight.tolist() for name, weight in kept.items()} == {
        name: weight.tolist() for name, weight in start.items()
    }


def test_one_adapter_is_published_and_nothing_of_the_reference(went_on: Task):
    for path in went_on.artefact.rglob("*"):
        assert path.is_file()
        assert REFERENCE not in path.stem.split("_")
    weights = load_file(went_on.artefact / start_adapter.WEIGHTS)
    started = load_file(went_on.dataset / start_adapter.FOLDER / start_adapter.WEIGHTS)
    assert weights.keys() == started.keys()
    assert any(not torch.equal(weights[name], started[name]) for name in weights)
    settings = json.loads((went_on.artefact / start_adapter.CONFIG).read_text())
    assert settings["base_model_name_or_path"] == "pvc://models/tiny"
    assert (settings["r"], settings["lora_alpha"]) == (4, 16)
    assert settings["target_modules"] == sorted(trainer_adapters.SETTINGS["target_modules"])
    assert settings["inference_mode"] is True


def test_base_start_and_tuned_are_measured_against_the_same_reference(went_on: Task):
    metrics = json.loads((went_on.artefact / "metrics.json").read_text())["evaluation"]
    assert metrics["start"]["loss"] == pytest.approx(LN_2)
    assert "rewardAccuracy" not in metrics["start"]["other"]
    assert metrics["base"]["loss"] != pytest.approx(LN_2, abs=1e-6)
    assert metrics["tuned"]["loss"] != pytest.approx(LN_2, abs=1e-6)
    assert {"rewardAccuracy", "rewardMargin"} <= metrics["base"]["other"].keys()
    card = (went_on.artefact / "README.md").read_text()
    assert "| | base | start | tuned |" in card
    assert "Training went on from the adapter at `pvc://output/sft`" in card
    assert "A LoRA adapter (rank 4) for" in card

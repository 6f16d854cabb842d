"""`output.merged`: what is published below merged/ is base and adapter in one, or nothing is published."""

import json
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import trainer_runs
from finetune_trainer import errors, fine_tuning, merged
from finetune_trainer.interruption import Interruption
from finetune_trainer.task import Task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]
IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS).logits.float()


def base_of(given: Task) -> Any:
    return AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32)


@pytest.fixture(scope="module", params=["LoRA", "QLoRA"])
def published(request, tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A run that was asked for merged weights."""
    layout = trainer_runs.pod(
        tmp_path_factory.mktemp(request.param) / "pod",
        tuning={"type": request.param},
        output={"merged": True},
    )
    layout.make_folders()
    trainer_runs.prepare_by_hand(layout.dataset)
    given = Task(
        run=layout.run, attempt=1, dataset=layout.dataset, model=layout.claims / "models/tiny",
        progress=layout.progress, work=layout.scratch / "ranks",
    )  # fmt: skip
    given.work.mkdir(parents=True)
    fine_tuning.FineTuning(given, Interruption(), rank=0, world=1).go()
    return given


def test_transformers_alone_loads_what_base_and_adapter_are(published: Task):
    folder = published.artefact / merged.FOLDER
    found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    AutoTokenizer.from_pretrained(folder)
    expected = logits(PeftModel.from_pretrained(base_of(published), published.artefact))
    assert torch.allclose(logits(found), expected, atol=1e-3 * expected.abs().max().item())
    assert not torch.allclose(logits(base_of(published)), expected, atol=1e-2)
    assert sorted(path.name for path in folder.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert str(published.model) not in (folder / "config.json").read_text()


def test_the_card_says_what_merging_means(published: Task):
    kind = json.loads(published.run.read_text())["tuning"]["type"]
    card = (published.artefact / "README.md").read_text()
    assert "this folder/merged" in card
    assert ("in 4 bits" in card) is (kind == "QLoRA")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_merge_that_lost_the_adapter_is_never_published(dtype: torch.dtype):
    expected = torch.randn(1, 6, 50, generator=torch.Generator().manual_seed(1)) * 10
    before = expected + torch.randn(1, 6, 50, generator=torch.Generator().manual_seed(2)) * 2
    rounded = expected + torch.randn(1, 6, 50, generator=torch.Generator().manual_seed(3)) * 1e-3
    merged.compare(rounded, expected=expected, before=before, dtype=dtype)
    for wrong in (before, rounded * 1.5, torch.full_like(expected, float("nan"))):
        with pytest.raises(
            errors.InternalError, match="the merged model does not give what base and adapter"
        ):
            merged.compare(wrong, expected=expected, before=before, dtype=dtype)

"""`output.merged`: what is published below merged/ is base and adapter in one, or nothing is published."""

import json
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import fine_tuned
import trainer_runs
import trainer_tiny_model
from finetune_trainer import errors, merged
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
    return fine_tuned.go(layout)


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


def test_it_was_merged_into_the_whole_weights_and_not_into_those_in_4_bits(published: Task):
    """Each weight is the base model's own, plus the adapter's product where it has one: within 1e-6 in float32."""
    merged_weights, base = (
        load_file(folder / "model.safetensors")
        for folder in (published.artefact / merged.FOLDER, published.model)
    )
    adapter = load_file(published.artefact / "adapter_model.safetensors")
    settings = json.loads((published.artefact / "adapter_config.json").read_text())
    scale = settings["lora_alpha"] / settings["r"]
    changed = set()
    for name, weight in merged_weights.items():
        key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        if f"{key}A.weight" not in adapter:
            assert torch.equal(weight, base[name]), name
            continue
        product = scale * adapter[f"{key}B.weight"].float() @ adapter[f"{key}A.weight"].float()
        assert torch.allclose(weight, base[name] + product, atol=1e-6), name
        changed.add(name)
    assert len(changed) == len(adapter) / 2


def test_no_file_names_a_path_of_the_pod(published: Task):
    root = str(published.run.parents[1]).encode()
    files = [path for path in published.artefact.rglob("*") if path.is_file()]
    assert {"config.json", "README.md", "report.html"} <= {path.name for path in files}
    assert [path.name for path in files if root in path.read_bytes()] == []


def test_in_16_bits_it_is_the_sum_rounded_once(tmp_path):
    """A base of bfloat16, as most are: the merged model is as near to base and adapter as rounding lets it."""
    base = tmp_path / "base"
    model = AutoModelForCausalLM.from_pretrained(trainer_tiny_model.folder(), dtype=torch.bfloat16)
    model.save_pretrained(base)
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    artefact = tmp_path / "artefact"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        get_peft_model(model, lora).save_pretrained(artefact)
    merged.add(artefact, base=base, name="org/tiny", probe=IDS[0].tolist(), tell=lambda **_: None)
    found, whole = (load_file(folder / "model.safetensors") for folder in (artefact / merged.FOLDER, base))
    adapter = load_file(artefact / "adapter_model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    product = (
        2
        * adapter[f"base_model.model.{name}.lora_B.weight"].float()
        @ adapter[f"base_model.model.{name}.lora_A.weight"].float()
    )
    expected = whole[f"{name}.weight"].float() + product
    assert found[f"{name}.weight"].dtype == torch.bfloat16
    assert torch.allclose(found[f"{name}.weight"].float(), expected, rtol=2**-7, atol=1e-3)


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

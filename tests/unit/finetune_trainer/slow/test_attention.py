"""`model.attention: Auto` loads every family, those too that do not know torch's own attention."""

from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

import trainer_tiny_model
import trainer_world
from finetune_trainer import accelerator, errors, model
from finetune_trainer.accelerator import Machine

pytestmark = pytest.mark.slow
CPU = Machine(gpus=0, bf16=False)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gemma2")
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    config = AutoConfig.for_model("gemma2", vocab_size=64, hidden_size=32, intermediate_size=64, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def loaded(folder: Path, asked: str):
    run = trainer_world.run(model={"uri": "pvc://models/tiny", "attention": asked})
    return model.load_model(
        folder, run, accelerator.arithmetic(run, CPU), name="base"
    ).config._attn_implementation


def test_auto_takes_what_a_model_knows(gemma):
    assert loaded(gemma, "Auto") == "eager"
    assert loaded(trainer_tiny_model.folder(), "Auto") == "sdpa"


def test_an_attention_that_a_model_does_not_know_is_told_by_its_field(gemma):
    says = (
        "spec.model.attention: Gemma2ForCausalLM does not support sdpa; use Auto, eager or flash_attention_2"
    )
    with pytest.raises(errors.UnsupportedHere, match=says):
        loaded(gemma, "sdpa")

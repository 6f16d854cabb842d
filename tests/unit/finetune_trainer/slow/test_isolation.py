"""Which architectures keep rows of one sequence apart: what Prepare says of each is what trying it shows."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from finetune_trainer import errors, isolation, row_attention

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "d_model": 32, "n_heads": 4,
    "n_layers": 2, "ffn_dim": 48, "word_embed_proj_dim": 32, "state_size": 8, "expand": 2, "num_heads": 8,
    "sliding_window": 4, "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "attention_layers": 2,
}  # fmt: skip
APART = (
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "gpt2",
    "gpt_neox", "gpt_bigcode", "granite", "olmo2", "starcoder2", "stablelm", "cohere", "cohere2", "smollm3", "glm4",
    "exaone4", "nemotron", "ernie4_5", "llama4_text",
)  # fmt: skip
TOGETHER = (
    "opt", "bloom", "mpt", "falcon", "biogpt", "xglm", "gpt_oss", "mamba", "mamba2", "rwkv", "recurrent_gemma", "jamba",
    "falcon_mamba", "minimax",
)  # fmt: skip
WHOLE = ("gemma2", "nemotron", "stablelm")
"""Of them those whose packs keep a mask: transformers knows no sdpa for the first, the others tell attention of no bounds."""
FIRST, SECOND = list(range(5, 25)), list(range(30, 50))


def small(kind: str, **more: Any) -> Any:
    """A model of this type with random weights."""
    known = AutoConfig.for_model(kind)
    said = {**known.to_dict(), **known.attribute_map}
    settings = {name: value for name, value in (SMALL | more).items() if name in said}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).float().eval()


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(rows)


def batch_for(model: Any) -> isolation.Collate:
    """Without what the model's forward pass would refuse."""
    if isolation.obstacle(model) != "it takes no position ids, by which rows are kept apart":
        return collate
    return lambda rows: {"input_ids": collate(rows)["input_ids"]}


@pytest.mark.parametrize("kind", APART)
def test_what_prepare_lets_through_keeps_rows_apart(kind: str):
    model = small(kind)
    assert isolation.obstacle(model) is None
    assert isolation.leak(model, collate, FIRST, SECOND) < 1e-5
    isolation.check(model, collate, (FIRST, SECOND), sixteen=False)


@pytest.mark.parametrize("kind", TOGETHER)
def test_what_prepare_refuses_lets_rows_see_each_other(kind: str):
    model = small(kind)
    assert isolation.obstacle(model)
    assert isolation.leak(model, batch_for(model), FIRST, SECOND) > isolation.MOST[False]


def test_a_hybrid_is_refused_as_what_it_is():
    """It keeps rows apart with kernels that no image of ours has."""
    settings = AutoConfig.for_model("qwen3_next", num_hidden_layers=4, vocab_size=64)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(settings)
    assert isolation.obstacle(model) == "it carries a state from token to token"


def test_a_model_that_nobody_knew_to_leak_is_found_out_before_the_first_step():
    model = small("opt")
    with pytest.raises(
        errors.SettingsDoNotFit,
        match=r"^spec\.training\.packing: .* of type opt: when tried, a row changed what the model says of the next one \(\d+% of",
    ):
        isolation.check(model, collate, (FIRST, SECOND), sixteen=False)


def test_sixteen_bits_round_less_than_a_leak():
    apart, leaking = small("llama").to(torch.bfloat16), small("falcon").to(torch.bfloat16)
    isolation.check(apart, collate, (FIRST, SECOND), sixteen=True)
    with pytest.raises(errors.SettingsDoNotFit):
        isolation.check(leaking, collate, (FIRST, SECOND), sixteen=True)


@pytest.mark.parametrize("kind", APART)
def test_rows_that_are_attended_one_by_one_stay_apart_and_say_what_they_said(kind: str):
    model = small(kind)
    before = row_attention.attention(model)
    rows = (FIRST, SECOND, [40], list(range(50, 62)))

    taken = row_attention.take(model, collate, rows, sixteen=False)

    assert taken == (kind not in WHOLE)
    assert row_attention.attention(model) == (row_attention.NAME if taken else before)
    assert isolation.leak(model, collate, FIRST, SECOND) < 1e-5

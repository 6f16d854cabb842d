"""An outline is what transformers builds, module by module; where it might not be, nothing is said."""

import json
from pathlib import Path
from typing import Any

import pytest

import trainer_tiny_model
from finetune_trainer import inspection

TINY = {
    "vocab_size": 96, "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip


def model(folder: Path, **said: Any) -> Path:
    """A folder with a config.json."""
    (folder / "config.json").write_text(json.dumps({**TINY, **said}))
    return folder


@pytest.mark.parametrize(
    "said",
    [
        {"model_type": "llama"},
        {"model_type": "llama", "tie_word_embeddings": True, "dtype": "bfloat16", "pad_token_id": 3},
        {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "head_dim": 24},
        {"model_type": "llama", "rope_parameters": LLAMA3, "torch_dtype": "float16"},
        {"model_type": "llama", "rope_scaling": LLAMA3, "rope_theta": 10000.0, "pretraining_tp": 1},
        {"model_type": "mistral", "sliding_window": None, "rope_theta": 1e6},
        {"model_type": "mistral", "sliding_window": 16, "head_dim": 32},
        {"model_type": "qwen2", "use_sliding_window": False, "max_window_layers": 3},
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True},
        {"model_type": "qwen3", "attention_bias": True, "rope_scaling": None},
    ],
)
def test_an_outline_is_what_transformers_builds(tmp_path, said):
    folder = model(tmp_path, **said)
    outlined, built = inspection.outlined(folder), inspection.architecture(folder)
    assert outlined == built


def test_the_tiny_model_is_a_common_one():
    folder = trainer_tiny_model.folder()
    assert inspection.outlined(folder) == inspection.architecture(folder)


@pytest.mark.parametrize(
    "said",
    [
        {"model_type": "gemma3_text"},
        {"model_type": "qwen3_moe"},
        {"model_type": "gpt2"},
        {"model_type": "llama", "auto_map": {"AutoModelForCausalLM": "theirs.Model"}},
        {
            "model_type": "llama",
            "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
        },
        {"model_type": "llama", "hidden_act": "gelu"},
        {"model_type": "llama", "hidden_act": "no such thing"},
        {"model_type": "llama", "num_hidden_layers": 0},
        {"model_type": "llama", "intermediate_size": -1},
        {"model_type": "llama", "pad_token_id": 96},
        {"model_type": "llama", "rope_parameters": {"rope_type": "no such thing", "rope_theta": 1e4}},
        {"model_type": "llama", "rope_parameters": {"rope_type": "default", "rope_theta": 0}},
    ],
)
def test_of_anything_unusual_nothing_is_said(tmp_path, said):
    assert inspection.outlined(model(tmp_path, **said)) is None

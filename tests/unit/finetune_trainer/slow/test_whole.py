"""All weights, written down."""

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

import trainer_tiny_model
from finetune_trainer import whole

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("apart", [False, True], ids=["one tensor", "gathered as two"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tied_head_is_written_once(dtype, apart, tmp_path):
    """Rounded, it was two tensors, and the file held both."""
    model = AutoModelForCausalLM.from_pretrained(trainer_tiny_model.folder(), dtype=torch.float32)
    assert model.config.tie_word_embeddings
    weights = {name: one.clone() if apart else one for name, one in model.state_dict().items()}

    whole.save(model, weights, tmp_path, dtype)

    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 - it is no mapping
        assert file.get_tensor("model.embed_tokens.weight").dtype == dtype
    whole.check_reloads(weights, tmp_path, dtype)

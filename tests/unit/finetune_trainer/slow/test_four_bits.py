"""QLoRA's frozen base stays what it is, on a CPU for which bitsandbytes has a faster and rounder way, too."""

import bitsandbytes.nn.modules as bitsandbytes_modules
import pytest
import torch

import trainer_tiny_model
import trainer_world
from finetune_trainer import accelerator, model
from finetune_trainer.accelerator import Machine

pytestmark = pytest.mark.slow


def test_weights_are_never_packed_anew(monkeypatch):
    monkeypatch.setattr(bitsandbytes_modules, "has_avx512bf16", lambda: True)
    run = trainer_world.run(tuning={"type": "QLoRA"})
    cpu = accelerator.arithmetic(run, Machine(gpus=0, bf16=False))
    loaded = model.load_model(trainer_tiny_model.folder(), run, cpu, name="base").eval()
    layers = [one for one in loaded.modules() if isinstance(one, bitsandbytes_modules.Linear4bit)]
    assert layers
    weights = [layer.weight.data.clone() for layer in layers]
    with torch.no_grad():
        before = loaded(input_ids=torch.tensor([[3, 4, 5]])).logits
        loaded.state_dict()
        assert torch.equal(loaded(input_ids=torch.tensor([[3, 4, 5]])).logits, before)
    assert all(torch.equal(layer.weight.data, kept) for layer, kept in zip(layers, weights, strict=True))

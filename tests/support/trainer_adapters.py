"""An adapter for the tiny model, as PEFT alone would have saved it: what training goes on from."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import trainer_tiny_model

SETTINGS: dict[str, Any] = {
    "r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj", "down_proj"], "task_type": "CAUSAL_LM",
}  # fmt: skip
"""Not those that a run would choose by itself."""


def make(folder: Path, *, base: str = "pvc://models/tiny", **settings: Any) -> Path:
    """Write an adapter that changes what the model says into `folder`; the same one every time."""
    model: Any = AutoModelForCausalLM.from_pretrained(trainer_tiny_model.folder(), dtype=torch.float32)
    model.name_or_path = base
    made = get_peft_model(model, LoraConfig(**{**SETTINGS, **settings}))
    chance = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.requires_grad:
                drawn = 0.1 * torch.randn(weight.shape, generator=chance)
                kept = 0.0 if ".lora_A." in name or ".lora_B." in name else 1.0  # PEFT draws A anew each time
                weight.mul_(kept).add_(drawn)
    made.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    return folder

"""The model that DPO and KTO hold training against, where training goes on from an adapter: the base with that adapter.

TRL (1.16) copies the adapter that it is given to a second one, `ref`, and asks the model with that one active. Two things would
make it another model than the one training started from; both are put right here.
"""

from pathlib import Path
from typing import Any

import torch
from peft import load_peft_weights, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer

REFERENCE = "ref"
"""TRL's name for the copy. It lies in checkpoints, and is never published."""


def begin_exactly(model: Any, start: Path) -> None:
    """Give every adapter of `model` the weights in the folder `start`, to the last bit, and take dropout out of the reference.

    Over 4-bit weights TRL rounds what learns to bf16, but not the copy: the reference would not be where training starts.
    And a copy with dropout would be another model at every step.
    """
    weights = load_peft_weights(str(start), device="cpu")
    for name in model.peft_config:
        set_peft_model_state_dict(model, weights, adapter_name=name)
    for module in model.modules():
        if isinstance(module, LoraLayer) and REFERENCE in module.lora_dropout:
            module.lora_dropout[REFERENCE] = torch.nn.Identity()

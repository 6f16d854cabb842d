"""An adapter's weights and settings, held against what PEFT would make for the model. Imports PEFT, and builds no weights."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from finetune_trainer.start_adapter import CONFIG, WEIGHTS

TAKEN_OVER = frozenset(
    {"r", "lora_alpha", "lora_dropout", "target_modules", "use_dora", "use_rslora", "modules_to_save"}
)
HARMLESS = frozenset(
    {
        "peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version",
        "fan_in_fan_out", "runtime_config",
    }
)  # fmt: skip
"""Settings that say where an adapter comes from, or follow from the model."""
BESIDE = frozenset({"gaussian", "orthogonal", "eva"})
"""Beginnings of an adapter that leave the model's own weights as they are; others take a part out of them."""


def strange_settings(start: Path) -> list[str]:
    """Settings of the adapter in `start` that make it more than a plain LoRA, sorted."""
    said: dict[str, Any] = json.loads((start / CONFIG).read_bytes())
    plain = {field.name: field.default for field in dataclasses.fields(LoraConfig)}
    strange = [
        name
        for name, value in said.items()
        if name not in TAKEN_OVER | HARMLESS | {"init_lora_weights"}
        and value not in (plain.get(name), None, {}, [], False)
    ]
    if not isinstance(said.get("init_lora_weights", True), bool) and said["init_lora_weights"] not in BESIDE:
        strange.append("init_lora_weights")
    return sorted(strange)


def misfit(start: Path, model: Path) -> str | None:
    """Half a sentence on the first weight of the adapter in `start` that the model in `model` has no place for, or lacks."""
    try:
        with safe_open(start / WEIGHTS, framework="pt") as opened:
            found = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        return f"{WEIGHTS} cannot be read ({error})"
    try:
        wanted = _wanted(start, model)
    except ValueError as error:  # PEFT: a module that the model lacks
        return str(error).splitlines()[0]
    for name in sorted(found.keys() | wanted.keys()):
        if name not in wanted:
            return f"it has weights {name}, which the model does not have"
        if name not in found:
            return f"it lacks the weights {name}"
        if found[name] != wanted[name]:
            return f"its weights {name} have the shape {found[name]} instead of {wanted[name]}"
    return None


def _wanted(start: Path, model: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight that such an adapter has for the model."""
    settings = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        base: Any = AutoModelForCausalLM.from_config(settings, trust_remote_code=False)  # type: ignore[no-untyped-call]
        lora = LoraConfig.from_pretrained(str(start))
        base.name_or_path = lora.base_model_name_or_path  # else PEFT warns of the pod's path
        made = get_peft_model(base, lora, low_cpu_mem_usage=True)
    state = get_peft_model_state_dict(made, save_embedding_layers=False)
    return {name: tuple(weight.shape) for name, weight in state.items()}

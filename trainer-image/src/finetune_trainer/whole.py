"""The result of `tuning.type: Full`: all weights, as a folder that any engine loads like the base model's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from finetune_trainer import errors

SHARD = "4GB"
"""Largest file of weights."""


def own_dtype(base: Path) -> torch.dtype:
    """What the base model's files hold; training computes in float32 and rounds to it at the end."""
    found = AutoConfig.from_pretrained(base, local_files_only=True).dtype
    return found if isinstance(found, torch.dtype) else torch.float32


def save(model: Any, weights: Mapping[str, torch.Tensor], folder: Path, dtype: torch.dtype) -> None:
    """Write the config of `model` and its `weights` by name, as `dtype`, into `folder`."""
    before = model.config.dtype
    model.config.dtype = dtype
    cast = {name: value.to(dtype) for name, value in weights.items()}
    # One weight of two names would be written twice.
    for name, source in model.all_tied_weights_keys.items():
        if name in cast and source in cast:
            cast[name] = cast[source]
    try:
        model.save_pretrained(folder, state_dict=cast, max_shard_size=SHARD)
    finally:
        model.config.dtype = before


def check_reloads(weights: Mapping[str, torch.Tensor], artefact: Path, dtype: torch.dtype) -> None:
    """The weights on disk, loaded as anybody would, are those in memory. Raises `InternalError`."""
    found: Any = AutoModelForCausalLM.from_pretrained(
        artefact, dtype=dtype, local_files_only=True, use_safetensors=True, device_map={"": "cpu"}
    )
    loaded = found.state_dict()
    for name, value in weights.items():
        if name not in loaded or not torch.equal(loaded[name], value.to(device="cpu", dtype=dtype)):
            raise errors.InternalError(
                f"the saved weights {name} are not what was trained; nothing was published, please report it"
            )

"""The base model and its tokenizer, from files on scratch and nowhere else."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from finetune_trainer import config
from finetune_trainer.accelerator import Arithmetic
from finetune_trainer.prepared import TokenizerFacts


def load_model(folder: Path, spec: config.Model, arithmetic: Arithmetic, *, name: str) -> PreTrainedModel:
    """The weights in `folder`, in the dtype decided. Never left to a default: transformers, TRL and the config disagree.

    `name` is the id that adapters name their base by; never a path of the pod.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, arithmetic.dtype),
        attn_implementation=arithmetic.attention,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=spec.trust_remote_code,
    )
    # PEFT writes this name into adapter_config.json, whatever LoraConfig says, and TRL into its model card.
    model.name_or_path = model.config.name_or_path = name
    loaded: PreTrainedModel = model
    return loaded


def load_tokenizer(folder: Path, spec: config.Model, facts: TokenizerFacts) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, with the chat template that the data was rendered with."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=spec.trust_remote_code
    )
    if facts.chat_template:
        tokenizer.chat_template = facts.chat_template
    return tokenizer

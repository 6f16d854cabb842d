"""The base model and its tokenizer, from files on scratch and nowhere else."""

import os
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from finetune_trainer import config, errors
from finetune_trainer.accelerator import Arithmetic
from finetune_trainer.prepared import TokenizerFacts

SDPA = "sdpa"
SDPA_IN_WORDS = "torch.nn.functional.scaled_dot_product_attention"
"""How transformers names it where a model does not know it."""


def load_model(folder: Path, run: config.Run, arithmetic: Arithmetic, *, name: str) -> PreTrainedModel:
    """The weights in `folder`, in the dtype decided. Never left to a default: transformers, TRL and the config disagree.

    `name` is the id that adapters name their base by; never a path of the pod.
    """
    # Gemma 2 and gpt-oss know no sdpa. Not named, it is taken by all that know it, and eager by the others.
    unnamed = run.model.attention == "Auto" and arithmetic.attention == SDPA
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, arithmetic.dtype),
            attn_implementation=None if unnamed else arithmetic.attention,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=run.model.trust_remote_code,
            **_quantized(run, arithmetic),
        )
    except ValueError as error:
        if arithmetic.attention != SDPA or SDPA_IN_WORDS not in str(error):
            raise
        raise errors.UnsupportedHere(
            f"spec.model.attention: {str(error).split(maxsplit=1)[0]} does not support sdpa; use Auto, eager or flash_attention_2"
        ) from error
    _never_repacked(model)
    # PEFT writes this name into adapter_config.json, whatever LoraConfig says, and TRL into its model card.
    model.name_or_path = model.config.name_or_path = name
    loaded: PreTrainedModel = model
    return loaded


def with_adapter(base: PreTrainedModel, start: Path, run: config.Run, *, revision: str | None) -> PeftModel:
    """`base` with the adapter in the folder `start`, which learns on. `revision`: the Hub's, for whoever loads the result."""
    settings = LoraConfig.from_pretrained(str(start))
    settings.lora_dropout = run.tuning.lora.dropout
    settings.base_model_name_or_path = base.name_or_path
    settings.revision = revision
    return PeftModel.from_pretrained(base, str(start), config=settings, is_trainable=True)


def _quantized(run: config.Run, arithmetic: Arithmetic) -> dict[str, Any]:
    """How QLoRA's frozen weights are held: 4 bits each, computed with as all others are. The same on CPU and CUDA."""
    if run.tuning.type != "QLoRA":
        return {}
    said = run.tuning.quantization
    # transformers would put every rank's copy on the first GPU.
    place = "cpu" if arithmetic.use_cpu else int(os.environ.get("LOCAL_RANK", "0"))
    return {
        "quantization_config": BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type=said.type,
            bnb_4bit_use_double_quant=said.double,
            bnb_4bit_compute_dtype=getattr(torch, arithmetic.dtype),
        ),
        "device_map": {"": place},
    }


def _never_repacked(model: PreTrainedModel) -> None:
    """The same figures on every CPU, and weights that stay what they are.

    Where a CPU multiplies bf16 (AVX512-BF16) bitsandbytes packs 4-bit weights anew for inference, with scales rounded to bf16, and
    back whenever a checkpoint is written: each time the base drifts a little, and the adapter was trained on another one.
    """
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def load_tokenizer(folder: Path, spec: config.Model, facts: TokenizerFacts) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, with the chat template that the data was rendered with."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=spec.trust_remote_code
    )
    if facts.chat_template:
        tokenizer.chat_template = facts.chat_template
    return tokenizer

"""Arithmetic, decided in one place for CPU and GPU alike. Pure: what the machine has is an argument."""

import importlib.util
from dataclasses import dataclass
from typing import Literal

from finetune_trainer import config, errors, sharding

Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this process sees."""

    gpus: int = 0
    bf16: bool = False
    """Whether the GPU has bf16."""
    flash_attention: frozenset[str] = frozenset()
    """Attention implementations that can be imported beside the built-in ones."""


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How this run computes, in transformers' words."""

    device: Literal["cpu", "cuda"]
    dtype: Dtype
    """Of the base model's weights."""
    bf16: bool
    fp16: bool
    """Mixed precision of the training steps."""
    tf32: bool | None
    """None: leave it (True raises on CPU)."""
    attention: str
    activation_checkpointing: bool

    @property
    def use_cpu(self) -> bool:
        """Must be said on CPU: TRL's default is bf16 on a GPU, and gloo is only chosen with it."""
        return self.device == "cpu"

    @property
    def told(self) -> str:
        """For the log."""
        mixed = "bf16" if self.bf16 else "fp16" if self.fp16 else "no"
        return (
            f"{self.device}, weights {self.dtype}, mixed precision {mixed}, attention {self.attention}, "
            f"activation checkpointing {'on' if self.activation_checkpointing else 'off'}"
        )


FLASH_PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_3"}
"""Attention implementation -> the package it needs."""


def machine() -> Machine:
    """What is here. Imports torch."""
    import torch  # noqa: PLC0415 - everything else in this module is also read where torch is not

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    flash = frozenset(name for name, package in FLASH_PACKAGES.items() if importlib.util.find_spec(package))
    return Machine(
        gpus=gpus,
        bf16=gpus > 0 and torch.cuda.is_bf16_supported(),
        flash_attention=flash if gpus else frozenset(),
    )


def arithmetic(run: config.Run, seen: Machine) -> Arithmetic:
    """How `run` computes on the machine `seen`. Raises where it asks for what is not there: never a silent fall-back."""
    cuda = run.resources.accelerator == "cuda"
    if cuda and not seen.gpus:
        raise errors.AcceleratorMissing(
            "the job has GPUs, but this pod sees none: the node's driver or device plugin is broken, or the image has no "
            "CUDA; ask the admin to look at the node; the next attempt may get another node"
        )
    precision = _precision(run.training.precision, cuda=cuda, bf16=seen.bf16)
    if precision == "fp16" and sharding.sharded(run):
        raise errors.UnsupportedHere(
            "spec.training.precision: full fine-tuning on several GPUs works in bf16 or fp32, not in fp16"
            f"{'' if seen.bf16 else ', and this GPU has no bf16'}; set fp32, train on one GPU, or set spec.tuning.type to LoRA"
        )
    weights: dict[str, Dtype] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
    checkpointing = run.training.activation_checkpointing
    return Arithmetic(
        device="cuda" if cuda else "cpu",
        # What learns is kept in float32: bf16 would lose most updates.
        dtype=weights[precision] if cuda and run.tuning.type != "Full" else "float32",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        tf32=True if cuda else None,
        attention=_attention(run.model.attention, seen),
        activation_checkpointing=cuda if checkpointing == "Auto" else checkpointing == "On",
    )


def _precision(asked: str, *, cuda: bool, bf16: bool) -> str:
    if asked == "Auto":
        return ("bf16" if bf16 else "fp16") if cuda else "fp32"
    if asked == "fp16" and not cuda:
        raise errors.UnsupportedHere(
            "spec.training.precision: fp16 needs a GPU; use Auto, fp32 or bf16 on CPU"
        )
    if asked == "bf16" and cuda and not bf16:
        raise errors.UnsupportedHere("spec.training.precision: this GPU has no bf16; use Auto, fp16 or fp32")
    return asked


def _attention(asked: str, seen: Machine) -> str:
    """Take sdpa unless a flash attention can be imported; packing stays correct with either."""
    if asked == "Auto":
        return "flash_attention_2" if "flash_attention_2" in seen.flash_attention else "sdpa"
    if asked in FLASH_PACKAGES and asked not in seen.flash_attention:
        raise errors.UnsupportedHere(
            f"spec.model.attention: {asked} needs a GPU and the package {FLASH_PACKAGES[asked]}, which this pod lacks; use "
            "Auto, or an image that has it"
        )
    return asked

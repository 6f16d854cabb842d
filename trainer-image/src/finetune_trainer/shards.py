"""Weights of which every rank holds a share: gathered, handed out, and how they compute. Every function is one of all ranks.

FSDP2 (torch's `fully_shard`) leaves parameters as DTensors, whose own state dict is a share.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy


def put_away(model: Any) -> None:
    """Let go of whole weights that a pass without a backward pass has left: the head and what stands beside it.

    As long as they are there, the model's parameters are these, and the optimiser, rounding and loading would miss the shares.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def gathered(model: Any) -> dict[str, torch.Tensor]:
    """All weights by name, whole and on the CPU; rank 0 gets them, the others an empty dictionary.

    One weight at a time passes through the accelerator. Names that share a weight share it here, too.
    """
    put_away(model)
    found: Mapping[str, Any] = get_model_state_dict(
        model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    first: dict[int, str] = {}
    shared = {
        name: first.setdefault(id(weight), name)
        for name, weight in model.named_parameters(remove_duplicate=False)
    }
    return {name: found[shared.get(name, name)] for name in found}


def spread(model: Any, whole: Mapping[str, torch.Tensor]) -> None:
    """Give `model` the weights that rank 0 has in `whole`; what the others hand in is not looked at."""
    put_away(model)
    mine: dict[str, Any] = dict(whole) if dist.get_rank() == 0 else {}
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, mine, options=options)


@contextmanager
def replaced(model: Any, whole: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Let `model` have the weights `whole` of rank 0, as long as this is open."""
    before = gathered(model)
    spread(model, whole)
    try:
        yield
    finally:
        spread(model, before)


def policy(*, bf16: bool) -> MixedPrecisionPolicy:
    """Products in bf16 or float32; gradients are added up in float32, as they are without shards.

    Accelerate's own would also round what the model returns to bf16, the loss among it.
    """
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16 if bf16 else None, reduce_dtype=torch.float32)

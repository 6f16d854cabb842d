"""How several processes hold one model: a copy on each (DDP), or a share of it on each (FSDP2). Pure: the run in, settings out.

Shared out is what training all weights needs most memory for: weights, gradients, optimiser state. Adapters are small, and a
frozen base under them is copied; without GPUs accelerate ignores what is said of FSDP and takes DDP.
"""

from typing import Any

from finetune_trainer import config

FSDP = {
    "version": 2,
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",  # each of the model's own blocks by itself
    "reshard_after_forward": True,
    "cpu_ram_efficient_loading": False,
    # Checkpoints hold whole weights and states, written by rank 0: any number of processes goes on from them.
    "state_dict_type": "FULL_STATE_DICT",
}
"""In transformers' words."""

SYNCED = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
"""Left to itself, accumulation keeps whole gradients on every process until the step's last pass."""


def chosen(*, tuning: str, processes: int, accelerator: str) -> bool:
    """Whether every process holds a share of the weights, and not a copy."""
    return tuning == "Full" and processes > 1 and accelerator == "cuda"


def sharded(run: config.Run) -> bool:
    """The same of a run."""
    resources = run.resources
    return chosen(tuning=run.tuning.type, processes=resources.processes, accelerator=resources.accelerator)


def arguments(run: config.Run) -> dict[str, Any]:
    """What the trainer is told; nothing where it has copies: it finds its peers by itself."""
    if not sharded(run):
        return {}
    return {"fsdp": True, "fsdp_config": dict(FSDP), "accelerator_config": dict(SYNCED)}


def told(run: config.Run) -> str | None:
    """For people; None where one process trains alone."""
    processes = run.resources.processes
    if processes == 1:
        return None
    how = "parameters sharded (FSDP2)" if sharded(run) else "a copy of the model on each (DDP)"
    return f"{run.tuning.type}, {processes} processes: {how}"

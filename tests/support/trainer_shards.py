"""One of two ranks that share the tiny model out by torch alone, over gloo: `python -m trainer_shards RANK PORT FILE`.

What it has found is written to FILE, as JSON.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode
from transformers import AutoModelForCausalLM

import trainer_tiny_model
from finetune_trainer import evaluate, shards

IDS = torch.tensor([[5, 9, 11, 40, 7, 300, 12, 8]])


def loaded() -> Any:
    """The model, whole."""
    return AutoModelForCausalLM.from_pretrained(trainer_tiny_model.folder(), dtype=torch.float32)


def sharded(*, checkpointing: bool = False) -> Any:
    """The model, each of its blocks a group of its own."""
    model = loaded()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    for layer in model.model.layers:
        fully_shard(layer, mp_policy=shards.policy(bf16=False))
    return fully_shard(model, mp_policy=shards.policy(bf16=False))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether both hold the same weights, to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def said(model: Any) -> list[float]:
    """The held-out log probabilities of two rows."""
    rows = [{"input_ids": IDS[0].tolist()[:length], "labels": IDS[0].tolist()[:length]} for length in (8, 5)]
    found = evaluate.said_of(model, rows, batch_size=2, move=lambda _: None).log_probs
    shards.put_away(model)
    return found


def step(model: Any) -> None:
    """One step that moves every weight."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()


def gathers(*, checkpointing: bool) -> int:
    """All-gathers of one training step."""
    model = sharded(checkpointing=checkpointing).train()
    with CommDebugMode() as counted:
        model(input_ids=IDS, labels=IDS).loss.backward()
    return sum(number for name, number in counted.get_comm_counts().items() if "gather" in str(name))


def found(rank: int) -> dict[str, Any]:
    """Everything that is asked of the shards."""
    base, plain = loaded().state_dict(), loaded()
    model = sharded()
    first = next(model.parameters())
    facts: dict[str, Any] = {
        "shares": [isinstance(first, DTensor), first.to_local().numel() * 2 == first.numel()],
        "said": [said(model), said(plain)],
    }
    for one in (model, plain):
        step(one)
    whole = shards.gathered(model)
    facts["gathered"] = same(whole, plain.state_dict()) if rank == 0 else not whole
    facts["moved"] = not same(plain.state_dict(), base)

    with shards.replaced(model, base if rank == 0 else {}):
        facts["replaced"] = [said(model), said(loaded())]
    facts["put back"] = same(shards.gathered(model), whole)

    other = sharded()
    shards.spread(other, whole)
    facts["spread"] = same(shards.gathered(other), whole)
    facts["trains on"] = [said(other), said(plain)]
    facts["gathers"] = [gathers(checkpointing=False), gathers(checkpointing=True)]
    return facts


if __name__ == "__main__":
    number, port, file = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=number,
        world_size=2,
        timeout=timedelta(seconds=120),
    )
    file.write_text(json.dumps(found(number)))
    dist.destroy_process_group()

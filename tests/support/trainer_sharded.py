"""Ranks whose weights are sharded, on CPU over gloo: `python -m trainer_sharded --task FILE` is one of them.

FSDP is chosen for GPUs alone, and accelerate leaves it out on CPU. Here both are told otherwise, and nothing else: all that
follows is the product's own code, and the libraries'.
"""
# ruff: noqa: PLC0415 - torch takes seconds, and whoever starts ranks does without

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import golden_losses
from finetune_trainer import config, sharding
from finetune_trainer.supervisor import launch
from finetune_trainer.task import Task

PATIENCE = 300
PROCESSES = 2


def a_task(root: Path, case: golden_losses.Case, *, resume: Path | None = None, **changes: Any) -> Task:
    """A pod below `root` whose two ranks would train the case. `changes` of run.json are merged one level deep."""
    given = golden_losses.a_task(root, case, resume=resume)
    document = json.loads(given.run.read_text())
    document["resources"] |= {"processesPerNode": PROCESSES, "cpu": 2.0}
    for name, change in changes.items():
        document[name] |= change
    given.run.write_text(
        config.Run.model_validate(document).model_dump_json(by_alias=True, exclude_none=True)
    )
    if case.method != "KTO":  # which compares the rows of a pass; the others make two passes a step
        given = given.model_copy(update={"micro_batch_size": 1})
    given.save()
    return given


def train(given: Task, *, program: str = "trainer_sharded") -> None:
    """Both ranks to their end. `program`: `finetune_trainer.rank` for weights of which each rank has a copy."""
    ranks = {"WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(launch.free_port())}
    here = {**os.environ, **ranks, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", program, "--task", str(given.work / "task.json")],
            env={**here, "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(PROCESSES)},
        )
        for rank in range(PROCESSES)
    ]
    try:
        codes = [one.wait(timeout=PATIENCE) for one in started]
    finally:
        for one in started:
            one.kill()
    told = [path.read_text() for path in sorted(given.verdicts.glob("*"))]
    assert codes == [0, 0], told


def choose_shards_on_cpu() -> None:
    """Let this process shard where a GPU's would."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    made = AcceleratorState.__init__

    def make(self: Any, *given: Any, fsdp_plugin: Any = None, **more: Any) -> None:
        made(self, *given, fsdp_plugin=fsdp_plugin, **more)
        if fsdp_plugin is not None:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    def chosen(*, tuning: str, processes: int, accelerator: str) -> bool:
        del accelerator
        return on_gpus(tuning=tuning, processes=processes, accelerator="cuda")

    on_gpus = sharding.chosen
    AcceleratorState.__init__ = make
    sharding.chosen = chosen


if __name__ == "__main__":
    from finetune_trainer import rank

    choose_shards_on_cpu()
    code = rank.main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

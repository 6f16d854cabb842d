"""How the ranks find each other: in bounded time, and with long patience afterwards. Imports torch."""

from datetime import timedelta

import torch.distributed as dist
from torch.distributed.distributed_c10d import _set_pg_timeout

from finetune_trainer import arguments, config, errors

MEETING = 120
"""Seconds that the ranks have to connect to each other, once all were started."""


def meet(resources: config.Resources, *, rank: int, world: int) -> None:
    """Connect all ranks. On GPUs the trainer does, with the same patience: NCCL connects with the first thing common.

    Left to the trainer, gloo would give up a wait after 30 minutes, whatever is said. Raises `PeerMissing`.
    """
    if world == 1 or world != resources.processes or resources.accelerator == "cuda":
        return  # another number than was promised is told of by `train.assert_promised`
    try:
        dist.init_process_group("gloo", timeout=timedelta(seconds=MEETING))
        dist.barrier()
    except (RuntimeError, ValueError) as error:
        raise errors.PeerMissing(
            f"training process {rank} could not connect to all of the other {world - 1} within {MEETING} s: the "
            "pods of a job must reach each "
            f"other on every port (does a NetworkPolicy forbid it?); it is tried again: {(str(error).splitlines() or [''])[0]}"
        ) from error
    _set_pg_timeout(timedelta(seconds=arguments.GANG_TIMEOUT))

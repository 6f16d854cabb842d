"""The rows per forward pass that are left after the accelerator ran out of memory.

They are remembered in the work area, at once: neither the next start of the ranks nor the next pod begins with a number that
has failed.
"""

from typing import Literal

import pydantic

from finetune_trainer import batches, config, errors
from finetune_trainer.prepared import Resolved
from finetune_trainer.storage import Store
from finetune_trainer.supervisor.fence import Fence

DOCUMENT = "micro-batch.json"


class MicroBatch(config.Value):
    """What is in force."""

    version: Literal[1] = 1
    micro_batch_size: int
    """Rows per forward pass of one process."""
    out_of_memory: int
    """How often memory did not suffice, over all attempts."""


def remembered(work: Store) -> MicroBatch | None:
    """What the work area remembers; None where memory has always sufficed."""
    raw = work.read_if_there(DOCUMENT)
    if raw is None:
        return None
    try:
        return MicroBatch.model_validate_json(raw)
    except pydantic.ValidationError as error:
        raise errors.InternalError(
            f"{work.uri_of(DOCUMENT)} cannot be read; remove it, and training begins again with the number of rows at a time "
            "(spec.training.microBatchSize) that Prepare chose"
        ) from error


def halved(
    work: Store, fence: Fence, run: config.Run, resolved: Resolved, before: MicroBatch | None
) -> MicroBatch | None:
    """Half of what `resolved` has, remembered in `work`; None where it cannot be fewer."""
    fewer = batches.halved(resolved, run.resources.processes, run.method)
    if fewer is None:
        return None
    made = MicroBatch(micro_batch_size=fewer, out_of_memory=(before.out_of_memory if before else 0) + 1)
    fence.check()
    work.put(DOCUMENT, made.model_dump_json(by_alias=True).encode())
    return made

"""The rank program: what `accelerate launch` starts. However it ends, it leaves a verdict.

python -m finetune_trainer.rank --task FILE
"""

import argparse
import os
import sys
import traceback
import warnings
from pathlib import Path

from finetune_trainer import errors, task, verdict
from finetune_trainer.interruption import Interruption

OUT_OF_MEMORY = (
    "OutOfMemoryError",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Parts of what an error is called, or says, when the accelerator's memory is exhausted."""

NOT_NEWS = (
    ".*gradient_checkpointing.* is deprecated",  # TRL's use of transformers' old name
    "Could not find a config file in",  # PEFT asks the Hub about the base model's id, which is no path on purpose
    "You are importing from 'trl.experimental'",  # where ORPO lives
)
"""Warnings of libraries about each other, or about what we do on purpose."""


def main() -> int:
    """Do the task; the exit code is the verdict's."""
    interruption = Interruption()
    interruption.install()  # before torch is imported, which takes seconds
    for message in NOT_NEWS:
        warnings.filterwarnings("ignore", message=message)
    parser = argparse.ArgumentParser(description="One rank of a training run.")
    parser.add_argument("--task", type=Path, required=True, help="what to do, as the supervisor wrote it")
    given = task.load(parser.parse_args().task)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    said = _verdict(given, interruption, rank=rank, world=world)
    interruption.end()
    verdict.write(given.verdicts, said)
    return said.exit_code


def _verdict(given: task.Task, interruption: Interruption, *, rank: int, world: int) -> verdict.Verdict:
    """Do everything, and say how it ended."""
    try:
        from finetune_trainer import fine_tuning  # noqa: PLC0415 - imports torch: 6 s in which SIGTERM must be heard

        fine_tuning.FineTuning(given, interruption, rank=rank, world=world).go()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the supervisor must hear of it
        return verdict.of(_ours(error, interruption), rank=rank)
    return verdict.Verdict(rank=rank, exit_code=0, reason="Trained", message="trained")


def _ours(error: BaseException, interruption: Interruption) -> BaseException:
    """`error` as one of ours. After SIGTERM everything that goes wrong is taken for its work: libraries wrap what we raise."""
    if isinstance(error, errors.TrainerError):
        return error
    traceback.print_exception(error)
    if interruption.noted:
        return errors.Interrupted("stopped by SIGTERM; nothing that was saved is lost")
    if any(part in f"{type(error).__name__}: {error}" for part in OUT_OF_MEMORY):
        return errors.OutOfMemory(
            "the GPU's memory does not suffice; lower training.microBatchSize or training.maxLength, set "
            "training.activationCheckpointing to On, or use a larger GPU"
        )
    return error


if __name__ == "__main__":
    sys.exit(main())

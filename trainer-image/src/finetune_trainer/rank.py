"""The rank program. However it ends, it leaves a verdict.

python -m finetune_trainer.rank --task FILE
"""

import argparse
import os
import shutil
import sys
import traceback
import warnings
from pathlib import Path

from finetune_trainer import config, cycles, errors, failpoints, place, rank_errors, task, unneeded, verdict
from finetune_trainer.interruption import Interruption

NOT_NEWS = (
    ".*gradient_checkpointing.* is deprecated",  # TRL's use of transformers' old name
    "Could not find a config file in",  # PEFT asks the Hub about the base model's id, which is no path on purpose
    "You are importing from 'trl.experimental'",  # where ORPO lives
)
"""Warnings of libraries about each other, or about what we do on purpose."""

KEPT: list[object] = []
"""What holds torch's objects, to the very end: the last reference to one may wait for another rank, which has gone."""


def main() -> int:
    """Do the task; the exit code is the verdict's."""
    interruption = Interruption()
    interruption.install()  # before torch is imported, which takes seconds
    for message in NOT_NEWS:
        warnings.filterwarnings("ignore", message=message)
    parser = argparse.ArgumentParser(description="One rank of a training run.")
    parser.add_argument("--task", type=Path, required=True, help="what to do, as the supervisor wrote it")
    given = task.load(parser.parse_args().task)
    said = _verdict(given, interruption)
    interruption.end()
    return _told(given, said).exit_code


def _told(given: task.Task, said: verdict.Verdict) -> verdict.Verdict:
    """Write the verdict; where the disk is too full even for that, that is the verdict."""
    if said.reason == "ScratchFull":
        shutil.rmtree(given.output, ignore_errors=True)  # half a checkpoint, in the way of the verdict
    try:
        verdict.write(given.verdicts, said)
    except OSError as error:
        if (full := rank_errors.known(error)) is None or said.reason == "ScratchFull":
            raise
        return _told(given, verdict.of(full, rank=said.rank))
    return said


def _verdict(given: task.Task, interruption: Interruption) -> verdict.Verdict:
    """Do everything, and say how it ended."""
    rank = int(os.environ.get("RANK") or 0)
    try:
        run = config.load(given.run)
        here = place.told(os.environ, run.resources)
        failpoints.arm(os.environ, attempt=given.attempt, rank=here.rank)
        unneeded.leave_out(unneeded.of(run))
        with cycles.unsought():
            from finetune_trainer import fine_tuning  # noqa: PLC0415 - torch: 6 s in which SIGTERM must be heard

        KEPT.append(fine_tuning.FineTuning(given, interruption, rank=here.rank, world=here.world).go())
    except BaseException as error:  # noqa: BLE001 - whatever it is, the supervisor must hear of it
        KEPT.append(error)
        ours = _ours(error, interruption)
        return verdict.of(_advised(ours, given) if isinstance(ours, errors.OutOfMemory) else ours, rank=rank)
    return verdict.Verdict(rank=rank, exit_code=0, reason="Trained", message="trained")


def _ours(error: BaseException, interruption: Interruption) -> BaseException:
    """`error` as one of ours. After SIGTERM everything that goes wrong is taken for its work: libraries wrap what we raise."""
    if isinstance(error, errors.TrainerError):
        return error
    traceback.print_exception(error)
    if interruption.noted:
        return errors.Interrupted("stopped from outside (SIGTERM); nothing that was saved is lost")
    return rank_errors.known(error) or error


def _advised(error: errors.OutOfMemory, given: task.Task) -> errors.OutOfMemory:
    """`error` with the estimate and what would fit, as far as that can be told."""
    from finetune_trainer import exhausted  # noqa: PLC0415 - imports what only a rank that is at its end needs

    try:
        return errors.OutOfMemory(exhausted.sentence(given))
    except Exception as failed:  # noqa: BLE001 - the verdict counts, not its wording
        traceback.print_exception(failed)
        return error


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # see KEPT

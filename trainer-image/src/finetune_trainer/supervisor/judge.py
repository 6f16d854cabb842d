"""From how the ranks went to how the attempt ended. Pure."""

from collections.abc import Mapping, Sequence

from finetune_trainer import errors, verdict
from finetune_trainer.supervisor.watch import End
from finetune_trainer.verdict import Verdict


def judge(
    end: End,
    verdicts: Sequence[Verdict | None],
    *,
    stall_seconds: float,
    exits: Mapping[int, int],
    memory_kills: int,
    first_rank: int = 0,
    lost: str | None = None,
) -> Verdict:
    """The verdict of this pod's ranks.

    `verdicts`: from `first_rank` on, None where one died without a word; `exits`: pid -> exit code; `memory_kills`: processes
    of this pod that the kernel killed for memory meanwhile; `lost`: which other node has gone. Where a rank tells a fault of
    its own, those that were silenced by the launcher, or lost it in the middle of a step, have nothing to add.
    """
    told = [said for said in verdicts if said and verdict.knows(said)]
    if told:
        return verdict.gravest(told)
    silent = [
        verdict.of(
            _silence(
                end, rank, stall_seconds=stall_seconds, exits=exits, memory_kills=memory_kills, lost=lost
            ),
            rank=rank,
        )
        for rank, said in enumerate(verdicts, start=first_rank)
        if said is None
    ]
    spoken = [said for said in verdicts if said]
    return verdict.gravest(
        [*silent, *(said for said in spoken if said.reason not in verdict.OF_OTHERS)] or spoken
    )


def _silence(
    end: End,
    rank: int,
    *,
    stall_seconds: float,
    exits: Mapping[int, int],
    memory_kills: int,
    lost: str | None,
) -> errors.TrainerError:
    """Why a rank may have left no verdict."""
    if end is End.STALLED:
        return errors.Stalled(
            f"there was no progress for {stall_seconds:.0f} s, so the training processes were killed, and training goes on from "
            "the last checkpoint; if they were only slow, raise spec.runPolicy.stallTimeoutSeconds"
        )
    if end is End.OVERDUE:
        return errors.Interrupted(
            "stopped from outside (SIGTERM), and no checkpoint was finished within the grace period; the previous checkpoint is "
            "kept"
        )
    if end is End.INTERRUPTED:
        return errors.Interrupted("stopped from outside (SIGTERM) before anything could be lost")
    if memory_kills:
        return errors.RankDied(
            f"training process {rank} was killed because the pod's memory did not suffice; raise spec.resources.memory, or lower "
            "spec.training.microBatchSize or spec.training.maxLength"
        )
    if lost:
        return errors.PeerLost(
            f"{lost}, so the training processes here were stopped; training goes on from the last checkpoint"
        )
    codes = ", ".join(str(code) for code in sorted(set(exits.values())))
    return errors.RankDied(
        f"training process {rank} was killed, or crashed, and could not say why (exit codes seen: {codes or 'none'}); "
        "see the pod's log"
    )

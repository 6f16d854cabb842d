"""How the rows of a step are shared: by processes, and by the forward passes of each."""

from finetune_trainer import errors
from finetune_trainer.prepared import Resolved

FEWEST = {"SFT": 1, "DPO": 1, "ORPO": 1, "KTO": 2}
"""Rows per forward pass at least: KTO puts each question beside another row's answer of the same pass."""


def shared(resolved: Resolved, processes: int) -> tuple[int, int]:
    """Rows per forward pass, and forward passes per step, so that all processes together see the global batch exactly."""
    per_process, rest = divmod(resolved.global_batch_size, processes)
    if rest or not per_process:
        raise errors.InvalidBatchSize(
            f"spec.training.globalBatchSize: {resolved.global_batch_size} rows cannot be shared equally by {processes} training "
            f"processes (on GPUs: one for each); use a multiple of {processes}"
        )
    micro = _divisor(per_process, resolved.micro_batch_size)
    return micro, per_process // micro


def halved(resolved: Resolved, processes: int, method: str) -> int | None:
    """Half the rows per forward pass, or the next fewer that share a step equally; None where no fewer will do."""
    micro, passes = shared(resolved, processes)
    fewer = _divisor(micro * passes, micro // 2) if micro > 1 else 0
    return fewer if fewer >= FEWEST[method] else None


def _divisor(rows: int, most: int) -> int:
    """The largest number up to `most` that divides `rows`."""
    return next(number for number in range(min(most, rows), 0, -1) if rows % number == 0)

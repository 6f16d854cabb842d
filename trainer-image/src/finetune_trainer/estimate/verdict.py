"""The estimate of a run as Prepare tells it: numbers for the status, advice in words, or a refusal."""

from dataclasses import dataclass

from finetune_trainer import config, errors
from finetune_trainer.estimate import fitting
from finetune_trainer.estimate.memory import Memory, gib, memory
from finetune_trainer.estimate.setting import Setting
from finetune_trainer.estimate.shape import Shape
from finetune_trainer.estimate.work import Work, seconds
from finetune_trainer.prepared import Estimated


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one process needs, and how long all of them take."""

    device: str
    memory: Memory
    seconds: int | None
    advice: tuple[str, ...] = ()

    @property
    def estimated(self) -> Estimated:
        """As it is told in the result."""
        total, gpu = self.memory.total, self.device == "cuda"
        return Estimated(
            gpu_memory_bytes=total if gpu else None,
            memory_bytes=None if gpu else total,
            parts=self.memory.parts,
            duration_seconds=self.seconds,
        )


def estimate(run: config.Run, shape: Shape, setting: Setting, work: Work) -> Estimate:
    """What `run` will need with the micro-batch of `setting`. Raises `ModelDoesNotFit` where nothing could make it fit."""
    needed, limit = memory(shape, setting), fitting.limit(run)
    advice: tuple[str, ...] = ()
    if limit is not None and fitting.close(needed.total, limit.available):
        fewest = setting.at(rows=2 if run.method == "KTO" else 1)
        least = memory(shape, fewest)
        if fitting.hopeless(least.total, limit.available):
            raise errors.ModelDoesNotFit(_refusal(shape, fewest, least, limit))
        advice = (_advice(shape, setting, needed, limit),)
    return Estimate(
        device=setting.device, memory=needed, seconds=seconds(run, shape, setting, work), advice=advice
    )


def exhausted(shape: Shape, setting: Setting, limit: fitting.Limit | None) -> str:
    """The sentence for a run whose memory did not suffice with the micro-batch of `setting`, whatever the estimate says of it."""
    needed = memory(shape, setting)
    has = limit.available if limit else needed.total
    # What failed takes all there is at least: only what is estimated at clearly less than it may fit.
    others = fitting.alternatives(shape, setting, min(needed.total, has), taken=max(needed.total, has))
    return (
        f"out of memory with {_rows(setting.rows)} at a time of up to {setting.length} tokens: each process is estimated to need "
        f"{gib(needed.total)} ({needed.told}){f', and {limit.whose}' if limit else ''}; what may fit: {'; '.join(others)}"
    )


def _refusal(shape: Shape, setting: Setting, least: Memory, limit: fitting.Limit) -> str:
    kind = "GPU memory" if setting.device == "cuda" else "memory"
    return (
        f"spec.training: {setting.method} with {setting.tuning} of a model of {_counted(shape.parameters)} weights and rows of "
        f"up to {setting.length} tokens needs about {gib(least.total)} of {kind} for each process with "
        f"{_rows(setting.rows)} at a time ({least.told}), but {limit.whose}; what would fit: "
        f"{'; '.join(fitting.alternatives(shape, setting, limit.available))}"
    )


def _advice(shape: Shape, setting: Setting, needed: Memory, limit: fitting.Limit) -> str:
    smaller = fitting.largest(shape, setting, range(1, setting.rows), limit.available)
    others = fitting.alternatives(shape, setting, limit.available)
    if smaller:
        others = [f"spec.training.microBatchSize {smaller}", *others]
    return (
        f"training may run out of memory: it needs about {gib(needed.total)} for each process with {_rows(setting.rows)} at a time "
        f"({needed.told}), and {limit.whose}; what would fit: {'; '.join(others)}"
    )


def _rows(number: int) -> str:
    return "one row" if number == 1 else f"{number} rows"


def _counted(weights: int) -> str:
    """`8.0 billion`."""
    return f"{weights / 1e9:.1f} billion" if weights >= 10**9 else f"{weights / 1e6:.0f} million"

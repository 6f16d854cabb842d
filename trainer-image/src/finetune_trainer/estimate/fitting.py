"""Whether a run fits what its pods have, with how many rows at a time, and what else would."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from finetune_trainer import config
from finetune_trainer.estimate.memory import ERROR, gib, memory
from finetune_trainer.estimate.setting import Setting
from finetune_trainer.estimate.shape import Shape

ROOM = 0.9
"""Share of the memory that a choice of ours may fill."""

BESIDE = 304 * 2**20
"""What supervisor and launcher take of a pod's memory (measured: 23 + 281 MiB that they share with nobody)."""

LIBRARIES = 340 * 2**20
"""What of a process's memory are pages of programs and libraries (measured): the kernel takes them back before it kills."""

SHORTEST = 128
"""Tokens below which no shorter row is advised."""

GPUS = (8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 141, 180, 192, 288)
"""Memory of GPUs that are sold (GiB)."""

MOST_ADVICE = 4


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The memory of one process."""

    available: int
    """Bytes."""
    whose: str
    """As a sentence calls it."""


def limit(run: config.Run) -> Limit | None:
    """What one process has: its GPU's memory, or its share of the pod's; None where the profile does not tell the GPU's."""
    resources = run.resources
    if resources.accelerator == "cuda":
        if resources.gpu_memory_bytes is None:
            return None
        return Limit(
            available=resources.gpu_memory_bytes,
            whose=f"the profile's GPU has {gib(resources.gpu_memory_bytes)}",
        )
    share = max(0, resources.memory_bytes - BESIDE) // resources.processes_per_node + LIBRARIES
    each = f" for {resources.processes_per_node} processes" if resources.processes_per_node > 1 else ""
    return Limit(available=share, whose=f"spec.resources.memory is {gib(resources.memory_bytes)}{each}")


def largest(shape: Shape, setting: Setting, sizes: Iterable[int], available: int) -> int | None:
    """The largest of `sizes` (rows in a forward pass) that fits with room to spare; None where none does."""
    fitting = [rows for rows in sizes if memory(shape, setting.at(rows=rows)).total <= ROOM * available]
    return max(fitting, default=None)


def hopeless(total: int, available: int) -> bool:
    """Whether it cannot fit, even if the estimate is too high by all of its error."""
    return total * (1 - ERROR) > available


def close(total: int, available: int) -> bool:
    """Whether it may not fit, if the estimate is too low."""
    return total > ROOM * available


def alternatives(shape: Shape, setting: Setting, available: int, *, taken: int = 0) -> list[str]:
    """What would fit in its place, with its memory: `spec.tuning.type QLoRA (9.1 GiB)`. Least change first.

    `taken`: bytes that it is known to take at least, where the estimate was too low.
    """
    told = [
        f"{label} ({gib(total)})"
        for label, other in _changes(shape, setting, available)
        if (total := memory(shape, other).total) <= ROOM * available
    ][:MOST_ADVICE]
    return [*told, _larger(max(memory(shape, setting).total, taken), setting)]


def _changes(shape: Shape, setting: Setting, available: int) -> Iterator[tuple[str, Setting]]:
    if not setting.checkpointing:
        yield "spec.training.activationCheckpointing On", replace(setting, checkpointing=True)
    if shorter := _shorter(shape, setting, available):
        yield f"spec.training.maxLength {shorter.length}", shorter
    targets = setting.targets or tuple(sorted({one.last for one in shape.linear}))
    for tuning in ("LoRA", "QLoRA")[("Full", "LoRA", "QLoRA").index(setting.tuning) :]:
        other = replace(setting, tuning=tuning, targets=targets, checkpointing=True)
        also = "" if setting.checkpointing else " with spec.training.activationCheckpointing On"
        yield f"spec.tuning.type {tuning}{also}", other
        if shorter := _shorter(shape, other, available):
            yield f"{tuning}{also} at spec.training.maxLength {shorter.length}", shorter


def _shorter(shape: Shape, setting: Setting, available: int) -> Setting | None:
    """The same with the longest rows that fit, by halves (powers of two, as people write them)."""
    length = 2 ** math.ceil(math.log2(max(2, setting.length)) - 1)
    while length >= SHORTEST:
        other = setting.at(length=length)
        if memory(shape, other).total <= ROOM * available:
            return other
        length //= 2
    return None


def _larger(total: int, setting: Setting) -> str:
    """The smallest machine that has room for it."""
    wanted = total / ROOM
    if setting.device == "cpu":
        return f"spec.resources.memory {math.ceil(((wanted - LIBRARIES) * setting.processes + BESIDE) / 2**30)}Gi"
    return next(
        (f"a GPU of {size} GiB" for size in GPUS if size * 2**30 >= wanted), "no single GPU that is sold"
    )

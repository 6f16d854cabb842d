"""The training settings that nobody gave, chosen from model, data and tuning type. Pure: facts in, settings out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_trainer import accelerator, config, errors, sharding
from finetune_trainer.batches import FEWEST
from finetune_trainer.estimate import fitting, setting
from finetune_trainer.estimate.shape import Shape
from finetune_trainer.plural import counted
from finetune_trainer.prepared import Resolved

LEARNING_RATES = {"SFT": 2e-5, "DPO": 1e-6, "ORPO": 5e-6, "KTO": 1e-6}
"""Of whole weights. DPO and KTO: TRL's own, a tenth to a hundredth of SFT's: they push a model that can speak already, and
unlearn what they push too far. ORPO teaches the answer itself as well, so it stands between them and SFT."""

ADAPTERS = 10.0
"""Adapters start from zero, and stand about ten times the learning rate of whole weights."""

EPOCHS = ((100, 10.0), (1_000, 5.0), (5_000, 3.0), (50_000, 2.0))
"""Rows fewer than -> epochs: few rows must be seen more often to leave a trace, many teach enough in one pass."""

BATCHES = ((500, 8), (2_000, 16))
"""Rows fewer than -> rows per step: small sets need the steps more than the smoothness."""

LARGEST_BATCH = 32

MICRO_TOKENS_CPU = 4_096
"""Tokens per forward pass: on CPU larger ones are no faster, and activations of small models stay near 1 GiB."""

MICRO_TOKENS_PER_GIB = 128
"""Tokens per forward pass and GiB of GPU memory: a 7 B model in bf16 with checkpointed activations fits, with room."""

UNKNOWN_GPU_GIB = 24
"""Where the profile does not tell the GPU's memory, nothing can be estimated against it."""

LARGEST_MICRO_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the choice depends on."""

    lengths: Sequence[int]
    """Tokens of each training sequence, at most maxLength: a row, or with packing several."""
    packed: int | None = None
    """Rows in those sequences; None: each is a row."""
    max_length: int
    """Tokens; no more than the model's own."""
    target_modules: tuple[str, ...]
    shape: Shape | None = None
    """The model's sizes; None: nothing is estimated."""
    scored: int = 0
    """Most learned tokens of a held-out row; 0: nothing is held out."""

    @property
    def longest(self) -> int:
        """Tokens."""
        return max(self.lengths, default=1)

    @property
    def rows(self) -> int:
        """Training rows."""
        return len(self.lengths) if self.packed is None else self.packed


def resolve(run: config.Run, facts: Facts) -> Resolved:
    """The settings in force. Raises `InvalidBatchSize` where the given ones cannot be shared by the processes."""
    training, processes = run.training, run.resources.processes
    per_process = _per_process(training, processes, facts)
    global_batch = per_process * processes
    # As transformers' Trainer counts: a last, smaller batch is a step too.
    per_epoch = math.ceil(len(facts.lengths) / global_batch)
    epochs = training.epochs or usual_epochs(facts.rows)
    steps = training.max_steps or math.ceil(epochs * per_epoch)
    return Resolved(
        epochs=round(training.max_steps / per_epoch, 4) if training.max_steps else epochs,
        total_steps=steps,
        learning_rate=training.learning_rate or usual_rate(run),
        global_batch_size=global_batch,
        micro_batch_size=_micro_batch(run, facts, per_process),
        max_length=facts.max_length,
        target_modules=facts.target_modules,
        distribution=sharding.told(run),
    )


def usual_rate(run: config.Run) -> float:
    """The learning rate where nobody says one, by method and by what is tuned."""
    whole = LEARNING_RATES[run.method]
    return whole if run.tuning.type == "Full" else round(whole * ADAPTERS, 12)


def usual_epochs(rows: int) -> float:
    """The number of epochs where nobody says one."""
    return next((epochs for fewer, epochs in EPOCHS if rows < fewer), 1.0)


def _per_process(training: config.Training, processes: int, facts: Facts) -> int:
    """Rows per step of one process; with packing packs, as many as hold about those rows: it changes speed, not what is learned."""
    if training.global_batch_size is None:
        wished = next((size for fewer, size in BATCHES if facts.rows < fewer), LARGEST_BATCH)
        if facts.rows:
            wished = round(min(wished, facts.rows) * len(facts.lengths) / facts.rows)
        share = max(wished // processes, 1)
        given = training.micro_batch_size
        return share if given == "Auto" else max(share // given, 1) * given
    if training.global_batch_size % processes:
        raise errors.InvalidBatchSize(
            f"spec.training.globalBatchSize: {training.global_batch_size} rows cannot be shared equally by {processes} training "
            f"processes (on GPUs: one for each); use a multiple of {processes}"
        )
    return training.global_batch_size // processes


def _micro_batch(run: config.Run, facts: Facts, per_process: int) -> int:
    """Rows per forward pass: what is given, else the largest divisor of the share that fits the memory, as it is estimated."""
    given, fewest = run.training.micro_batch_size, FEWEST[run.method]
    if (per_process if given == "Auto" else given) < fewest:
        told = f"{run.method} compares the rows of one forward pass with each other, so"
        if given != "Auto":
            raise errors.InvalidBatchSize(
                f"spec.training.microBatchSize: {told} it needs at least {fewest} of them; set it to {fewest} or more, or to Auto"
            )
        processes = run.resources.processes
        raise errors.InvalidBatchSize(
            f"spec.training.globalBatchSize: {told} each of the {processes} training processes needs at least {fewest} of them; "
            f"set it to {fewest * processes} or more, or train on fewer GPUs"
        )
    if given != "Auto":
        if per_process % given:
            raise errors.InvalidBatchSize(
                f"spec.training.microBatchSize: each training process has {counted(per_process, 'row')} per step, which is not a "
                f"multiple of {given}; set spec.training.microBatchSize to Auto, or correct it or spec.training.globalBatchSize"
            )
        return given
    sizes = [size for size in range(fewest, per_process + 1) if per_process % size == 0]
    within = [size for size in sizes if size <= _budget(run, facts)] or sizes[:1]
    limit = fitting.limit(run)
    if run.training.packing and setting.expected(run).attention not in accelerator.FLASH_PACKAGES:
        return sizes[0]  # packs in one pass are one sequence, whose attention costs its length's square
    if facts.shape is None or limit is None:
        return within[-1]
    # On CPU larger batches are no faster: memory only ever makes them smaller.
    tried = within if run.resources.accelerator == "cpu" else sizes
    return fitting.largest(facts.shape, needs(run, facts, sizes[0]), tried, limit.available) or sizes[0]


def needs(run: config.Run, facts: Facts, rows: int) -> setting.Setting:
    """What decides the memory of a forward pass over `rows`, the longest ones."""
    return setting.of(
        run,
        setting.expected(run),
        targets=facts.target_modules,
        rows=rows,
        share=_per_process(run.training, run.resources.processes, facts),
        length=facts.longest,
        scored=facts.scored,
    )


def _budget(run: config.Run, facts: Facts) -> int:
    """Rows per forward pass where memory is not what decides."""
    longest = facts.longest * setting.SEQUENCES[run.method]
    return min(max(_token_budget(run.resources) // longest, 1), LARGEST_MICRO_BATCH)


def _token_budget(resources: config.Resources) -> int:
    if resources.accelerator == "cpu":
        return MICRO_TOKENS_CPU
    gib = resources.gpu_memory_bytes / 2**30 if resources.gpu_memory_bytes else UNKNOWN_GPU_GIB
    return int(gib * MICRO_TOKENS_PER_GIB)

"""What of a run decides its memory and its arithmetic."""

import importlib.util
from dataclasses import dataclass, replace
from typing import Literal

from finetune_trainer import accelerator, config, sharding
from finetune_trainer.accelerator import Arithmetic, Machine

SEQUENCES = {"SFT": 1, "DPO": 2, "ORPO": 2, "KTO": 1}
"""Sequences of a row in one forward pass: a pair has two. KTO sees another row's answer in a pass of its own."""

LEARNED_BYTES = 4
"""Of a weight that learns: always float32 (train.py), under 16-bit arithmetic too."""

Attention = Literal["sdpa", "eager", "flash"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One forward and backward pass of one process, and what is kept around it."""

    device: Literal["cpu", "cuda"]
    method: str
    tuning: str
    targets: tuple[str, ...]
    """Last names of the modules with an adapter; empty where all weights learn."""
    rank: int
    dora: bool
    dropout: bool
    saved: tuple[str, ...]
    """Modules that learn whole beside the adapter."""
    double: bool
    """Whether the scales of 4-bit weights are quantised too."""
    weight_bytes: int
    """Of a frozen weight that is not quantised."""
    compute_bytes: int
    """Of a number that a matrix product gives: 2 under autocast, else 4."""
    attention: Attention
    checkpointing: bool
    optimizer: str
    processes: int
    rows: int
    """Micro-batch."""
    length: int
    """Tokens of the longest row."""
    share: int
    """Rows of a step of this process."""
    scored: int
    """Most learned tokens of a held-out row, for which evaluation builds logits; 0: nothing is held out."""
    started: bool = False
    """Whether training goes on from an adapter."""
    packed: bool = False
    """Whether the rows of a forward pass are one sequence."""
    by_row: bool = False
    """Whether the parts of that sequence are attended one by one; else a mask keeps them from each other."""

    @property
    def adapters(self) -> int:
        """Adapters that are held: where training goes on from one, the reference of DPO and KTO is a copy of it."""
        return 0 if self.full else 2 if self.started and self.method in {"DPO", "KTO"} else 1

    @property
    def full(self) -> bool:
        """Whether all weights learn."""
        return self.tuning == "Full"

    @property
    def sharded(self) -> bool:
        """Whether every process holds a share of the weights."""
        return sharding.chosen(tuning=self.tuning, processes=self.processes, accelerator=self.device)

    @property
    def shares(self) -> int:
        """In how many shares weights, their gradients and the optimiser's state are held."""
        return self.processes if self.sharded else 1

    @property
    def autocast(self) -> bool:
        """Whether matrix products are in 16 bits."""
        return self.compute_bytes < LEARNED_BYTES

    @property
    def sequences(self) -> int:
        """Sequences in a forward pass."""
        return self.rows * SEQUENCES[self.method]

    @property
    def tokens(self) -> int:
        """Positions in a forward pass, padding included."""
        return self.sequences * self.length

    @property
    def masked(self) -> bool:
        """Whether attention gets a mask: several sequences are padded to one length, or share one."""
        return not self.by_row if self.packed else self.sequences > 1

    @property
    def span(self) -> int:
        """Positions that the mask, or the scores, of one position go over."""
        return self.tokens if self.packed else self.length

    @property
    def accumulates(self) -> bool:
        """Whether a step has several passes: gradients are then held through the next one."""
        return self.share > self.rows

    @property
    def reference(self) -> bool:
        """Whether a second, frozen copy of the model is held."""
        return self.full and self.method in {"DPO", "KTO"}

    def at(self, *, rows: int | None = None, length: int | None = None) -> "Setting":
        """The same with another micro-batch or length."""
        return replace(self, rows=rows or self.rows, length=length or self.length)


def expected(run: config.Run) -> Arithmetic:
    """How the training pods will compute, as far as that is known without one: this very image on a GPU that has bf16."""
    packages = accelerator.FLASH_PACKAGES.items()
    flash = frozenset(name for name, package in packages if importlib.util.find_spec(package))
    return accelerator.arithmetic(run, Machine(gpus=1, bf16=True, flash_attention=flash))


def of(
    run: config.Run,
    arithmetic: Arithmetic,
    *,
    targets: tuple[str, ...],
    rows: int,
    share: int,
    length: int,
    scored: int,
) -> Setting:
    """The setting of `run` as `arithmetic` computes it, for `rows` of at most `length` tokens in a forward pass.

    `share`: rows of one process in a step.
    """
    full, said = run.tuning.type == "Full", run.tuning.lora
    sixteen = arithmetic.bf16 or arithmetic.fp16
    kinds: dict[str, Attention] = {"sdpa": "sdpa", "eager": "eager"}
    return Setting(
        device=arithmetic.device,
        method=run.method,
        tuning=run.tuning.type,
        targets=() if full else targets,
        rank=said.rank,
        dora=said.dora and not full,
        dropout=said.dropout > 0 and not full,
        saved=() if full else said.modules_to_save,
        double=run.tuning.quantization.double,
        weight_bytes=4 if arithmetic.dtype == "float32" else 2,
        compute_bytes=2 if sixteen else 4,
        attention=kinds.get(arithmetic.attention, "flash"),
        packed=run.training.packing,
        # What row_attention.py does, unless the model turns out to say something else by row.
        by_row=run.training.packing
        and run.model.attention == "Auto"
        and arithmetic.attention == "sdpa"
        and not sharding.sharded(run),
        checkpointing=arithmetic.activation_checkpointing,
        optimizer=run.training.optimizer,
        processes=run.resources.processes,
        rows=rows,
        share=share,
        length=length,
        scored=scored,
        started=run.model.adapter_from is not None,
    )

"""Rows of like length side by side, in an order that every process and every attempt draws alike."""

from typing import Any

import datasets
import pyarrow.compute as pc
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices


class Grouped(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows as transformers' `LengthGroupedSampler` would draw them, but by seed and epoch alone; to be read from first to last.

    Its own dice are those of the process. They lie otherwise after an interruption, and with dropout otherwise in each process:
    some rows would be seen twice in an epoch and others never.
    """

    def __init__(self, rows: datasets.Dataset, *, batch: int, seed: int) -> None:
        self._rows = rows
        self._lengths = pc.list_value_length(rows.data.column("input_ids")).to_pylist()
        self._batch = batch
        """Rows of a step, of all processes: how they are shared out changes nothing."""
        self._seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch (from 0). Accelerate calls it."""
        dice = torch.Generator().manual_seed(self._seed + epoch)
        self._order: list[int] = get_length_grouped_indices(  # type: ignore[no-untyped-call]
            self._lengths, self._batch, generator=dice
        )

    def __len__(self) -> int:
        """Rows."""
        return len(self._lengths)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """The row at this place of the epoch's order."""
        found: dict[str, Any] = self._rows[self._order[place]]
        return found

"""Rows of like length stand side by side, each once in an epoch, in an order of seed and epoch alone."""

import random

import datasets
import pyarrow as pa
import pytest
import torch

from finetune_trainer.grouped import Grouped

pytestmark = pytest.mark.slow

BATCH = 8


def lengths(count: int = 400) -> list[int]:
    return random.Random(1).choices(range(1, 200), k=count)


def made(seed: int = 42) -> Grouped:
    ids = pa.array([[row] * length for row, length in enumerate(lengths())], pa.list_(pa.int32()))
    return Grouped(datasets.Dataset(pa.table({"input_ids": ids})), batch=BATCH, seed=seed)


def order(rows: Grouped, epoch: int) -> list[int]:
    rows.set_epoch(epoch)
    return [rows[place]["input_ids"][0] for place in range(len(rows))]


def padding(drawn: list[int]) -> int:
    """Positions that batches in this order are padded by."""
    known = lengths()
    batches = [[known[row] for row in drawn[at : at + BATCH]] for at in range(0, len(drawn), BATCH)]
    return sum(max(batch) * len(batch) - sum(batch) for batch in batches)


def test_each_row_comes_once_and_batches_are_hardly_padded():
    drawn = order(made(), 0)
    assert sorted(drawn) == list(range(400))
    assert padding(drawn) < padding(list(range(400))) / 5


def test_the_order_is_that_of_seed_and_epoch_whatever_was_drawn_before():
    first = [order(made(), epoch) for epoch in (0, 1)]
    torch.rand(1000)
    assert [order(made(), epoch) for epoch in (0, 1)] == first
    assert first[0] != first[1]
    assert order(made(seed=7), 0) != first[0]

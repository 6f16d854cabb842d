"""Which rows share a sequence: everything of every row, and nothing longer than it may be. Against TRL: slow/."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.data import packing

MOST = 32


@given(st.lists(st.integers(1, MOST), max_size=60))
def test_each_row_is_in_one_pack_and_no_pack_is_too_long(lengths):
    packs = packing.best_fit(lengths, MOST)

    assert sorted(row for pack in packs for row in pack) == list(range(len(lengths)))
    assert all(sum(lengths[row] for row in pack) <= MOST for pack in packs)


@given(st.lists(st.integers(1, MOST), max_size=60))
def test_no_two_packs_would_fit_into_one_another(lengths):
    fills = sorted(sum(lengths[row] for row in pack) for pack in packing.best_fit(lengths, MOST))

    assert len(fills) < 2 or fills[0] + fills[1] > MOST


def test_packs_are_read_as_they_were_written(tmp_path):
    packs = packing.best_fit([5, 9, 32, 1], MOST)

    packing.write(packs, tmp_path / "packs.parquet")

    read = packing.read(tmp_path / "packs.parquet")
    assert read.to_pylist() == packs
    assert read.type == pa.list_(pa.int32())

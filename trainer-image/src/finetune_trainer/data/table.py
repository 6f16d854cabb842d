"""Tokenised rows to columns: which table a method trains on (section 5 of docs/contract.md)."""

import itertools
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from finetune_trainer.data.pairs import Compared
from finetune_trainer.data.rows import Feedback
from finetune_trainer.data.tokenise import IGNORED, Encoded

Tokenised = Encoded | Compared

COLUMNS = {
    "SFT": ("input_ids",),
    "DPO": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "ORPO": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "KTO": ("prompt_ids", "completion_ids"),
}
"""Sequences of token ids by method, in the order of `Tokenised.ids`."""
IDS = pa.list_(pa.int32())


def schema(method: str) -> pa.Schema:
    """The columns of a method's table."""
    fields = [(name, IDS) for name in COLUMNS[method]]
    more = {"SFT": [("labels", IDS)], "KTO": [("label", pa.bool_())]}
    return pa.schema([*fields, *more.get(method, [])])


def batch(rows: Sequence[Tokenised], method: str) -> pa.RecordBatch:
    """`rows` as columns."""
    columns = [_lists([row.ids[at] for row in rows]) for at in range(len(COLUMNS[method]))]
    if method == "SFT":
        columns.append(_labels(rows, columns[0]))
    if method == "KTO":
        columns.append(pa.array([_desirable(row) for row in rows], pa.bool_()))
    return pa.RecordBatch.from_arrays(columns, schema=schema(method))


def column(values: npt.NDArray[Any]) -> Any:
    """Numbers as a column, not copied. `pa.array` and `to_numpy` import pandas: a second and 60 MB for each process."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _lists(sequences: Sequence[list[int]]) -> Any:
    flat = array("i")
    for sequence in sequences:
        flat.extend(sequence)
    offsets = np.fromiter(itertools.accumulate(map(len, sequences), initial=0), np.int32, len(sequences) + 1)
    return pa.ListArray.from_arrays(column(offsets), column(np.frombuffer(flat, np.int32)), type=IDS)


def _labels(rows: Sequence[Tokenised], ids: Any) -> Any:
    """The ids where they are learned, `IGNORED` elsewhere."""
    flat, offsets = (np.frombuffer(one.buffers()[1], np.int32) for one in (ids.values, ids.offsets))
    labels = np.full(len(flat), IGNORED, np.int32)
    for row, begin in zip(rows, offsets[:-1].tolist(), strict=True):
        for start, end in row.learned if isinstance(row, Encoded) else ():
            labels[begin + start : begin + end] = flat[begin + start : begin + end]
    return pa.ListArray.from_arrays(ids.offsets, column(labels), type=IDS)


def _desirable(row: Tokenised) -> bool:
    content = row.example.content
    return isinstance(content, Feedback) and content.desirable

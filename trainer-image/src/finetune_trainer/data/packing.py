"""Several rows in one sequence: which ones go together. Pure: lengths in, packs out.

Best-fit decreasing, as TRL packs (`packing_strategy="bfd"`; a test compares), but over the whole set instead of thousand by
thousand, and over lengths alone: the tokens stay where they are.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = "rows"
"""Column of the table of packs: numbers of rows of the training table, in the order they stand in the pack."""

Pack = list[int]


def best_fit(lengths: Sequence[int], most: int) -> list[Pack]:
    """Packs of at most `most` tokens. No row is cut, none is left out; `lengths` (tokens) are of 1 to `most`.

    The longest rows come first, each goes where it leaves least room. The same lengths give the same packs.
    """
    packs: list[Pack] = []
    waiting: dict[int, deque[Pack]] = {}
    rooms: list[int] = []  # keys of `waiting`, rising
    for row in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        at = bisect_left(rooms, lengths[row])
        if at == len(rooms):
            pack: Pack = []
            room = most
            packs.append(pack)
        else:
            room = rooms[at]
            pack = waiting[room].popleft()
            if not waiting[room]:
                del waiting[room], rooms[at]
        pack.append(row)
        if left := room - lengths[row]:
            if left not in waiting:
                waiting[left] = deque()
                insort(rooms, left)
            waiting[left].append(pack)
    return packs


def write(packs: Sequence[Pack], path: Path) -> None:
    """The table of packs."""
    pq.write_table(pa.table({ROWS: pa.array(packs, pa.list_(pa.int32()))}), path, compression="zstd")


def read(path: Path) -> pa.ListArray:
    """The packs of a table."""
    return pq.read_table(path).column(ROWS).combine_chunks()

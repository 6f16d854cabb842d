"""Rows on their way to a table: chunks of them lie on scratch until it is decided which go where.

A spool is a file that one process appends to: for each chunk the facts of its rows, then the tokens of those that may stay.
"""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from finetune_trainer.data.facts import FITS, Facts, Indexes
from finetune_trainer.data.table import column

GROUP = 1_024
"""Rows of a row group."""


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where the rows of one chunk lie."""

    path: Path
    begin: int
    """First byte of the facts."""
    middle: int
    """First byte of the tokens."""
    end: int
    rows: int
    """Read, whatever becomes of them."""


class Spool:
    """The file of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")

    def add(self, facts: Facts, rows: pa.RecordBatch) -> Spot:
        """Write one chunk. `rows`: those of `facts` whose reason is `FITS`."""
        begin = self._file.tell()
        self._file.write(pickle.dumps(facts, protocol=5))
        middle = self._file.tell()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(self._file, rows.schema, options=options) as stream:
            stream.write_batch(rows)
        self._file.flush()
        return Spot(path=self.path, begin=begin, middle=middle, end=self._file.tell(), rows=len(facts))

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


def facts(spot: Spot) -> Facts:
    """What is known of the rows of a chunk."""
    with spot.path.open("rb") as file:
        file.seek(spot.begin)
        found: Facts = pickle.loads(file.read(spot.middle - spot.begin))  # noqa: S301 - written by our own process on our own disk
        return found


def rows(spot: Spot) -> pa.RecordBatch:
    """The tokens of a chunk's rows."""
    with spot.path.open("rb") as file:
        file.seek(spot.middle)
        with pa.ipc.open_stream(file.read(spot.end - spot.middle)) as stream:
            return stream.read_next_batch()


def copy(spots: Sequence[Spot], known: Facts, wanted: Indexes, path: Path, schema: pa.Schema) -> None:
    """Write the rows `wanted` (rising; one that stands there twice is written twice) to a Parquet file.

    `known`: the facts of all rows in all `spots`, in their order. How rows were chunked leaves no trace in the file.
    """
    held: list[Any] = []
    count = 0
    # Few token ids come again within a row group as often as a dictionary needs: without one it is smaller, in half the time.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for batch in _chosen(spots, known, wanted):
            held.append(batch)
            count += batch.num_rows
            if count < GROUP:
                continue
            table = pa.Table.from_batches(held, schema).combine_chunks()
            whole = count - count % GROUP
            for begin in range(0, whole, GROUP):
                writer.write_table(table.slice(begin, GROUP))
            held = table.slice(whole).to_batches()
            count -= whole
        if count:
            writer.write_table(pa.Table.from_batches(held, schema).combine_chunks())


def _chosen(spots: Sequence[Spot], known: Facts, wanted: Indexes) -> Iterator[pa.RecordBatch]:
    """Of each chunk the rows that are wanted."""
    begin = 0
    for spot in spots:
        end = begin + spot.rows
        mine = wanted[slice(*np.searchsorted(wanted, [begin, end]))] - begin
        if len(mine):
            places = (
                np.cumsum(known.reason[begin:end] == FITS) - 1
            )  # where a row stands among those that were stored
            yield rows(spot).take(column(places[mine]))
        begin = end

"""Tokenised rows to Parquet: cut, counted, written in the order they come."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_trainer import config
from finetune_trainer.data.filters import Drops
from finetune_trainer.data.tokenise import Encoded

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = 1_024
"""Rows of a row group."""


@dataclass
class Written:
    """What stands in a table."""

    lengths: list[int] = field(default_factory=list)
    """Tokens of each row, in order."""
    supervised: int = 0
    """Learned tokens in all."""
    truncated: int = 0
    """Rows that were cut."""
    largest_id: int = 0

    @property
    def rows(self) -> int:
        """Rows."""
        return len(self.lengths)

    def count(self, row: Encoded, *, cut: bool) -> None:
        """One more row."""
        self.lengths.append(len(row.input_ids))
        self.supervised += row.supervised
        self.truncated += cut
        self.largest_id = max(self.largest_id, *row.input_ids)


def write(
    path: Path, rows: Iterable[Encoded], *, max_length: int, quality: config.Quality, drops: Drops
) -> Written:
    """Write `rows`, cut to `max_length` tokens, to `path`; rows that teach nothing then are dropped and counted."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see _batch

    written, group = Written(), list[Encoded]()
    with pq.ParquetWriter(path, _schema(), compression="zstd") as writer:
        for row in rows:
            short = row.cut(max_length)
            if reason := _useless(row, short, quality):
                drops.add(reason, row.example.place)
                continue
            written.count(short, cut=len(short.input_ids) < len(row.input_ids))
            group.append(short)
            if len(group) == GROUP:
                writer.write_batch(_batch(group))
                group.clear()
        if group:
            writer.write_batch(_batch(group))
    return written


def _useless(row: Encoded, short: Encoded, quality: config.Quality) -> str | None:
    """Why a row is dropped once its tokens are known."""
    if quality.min_tokens is not None and len(row.input_ids) < quality.min_tokens:
        return "TooShort"
    if quality.max_tokens is not None and len(row.input_ids) > quality.max_tokens:
        return "TooManyTokens"
    if not row.supervised:
        return "NothingLearned"
    return None if short.supervised else "TooLong"


def _schema() -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415 - 0.2 s that a refused run need not wait for

    return pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])


def _batch(group: list[Encoded]) -> "pa.RecordBatch":
    import pyarrow as pa  # noqa: PLC0415 - see _schema

    columns = {"input_ids": [row.input_ids for row in group], "labels": [row.labels for row in group]}
    return pa.RecordBatch.from_pydict(columns, schema=_schema())

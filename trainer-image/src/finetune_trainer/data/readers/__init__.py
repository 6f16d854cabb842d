"""Files to rows: JSONL, JSON, CSV, TSV and Parquet, plain or compressed by gzip or zstd; streamed, so that memory stays bounded.

A row that cannot be read is `InvalidRow` with file, line and the text around; a file that cannot be read is `InvalidFile`.

    files         what a file is, by its name and its first bytes, and its bytes unpacked
    text          lines of bounded length, UTF-8, and the text around a spot
    values        one JSON value, and what is wrong with it
    json_rows  csv_rows  parquet_rows
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from finetune_trainer.data.readers import csv_rows, files, json_rows, parquet_rows
from finetune_trainer.data.readers.files import KNOWN, Kind, is_data, kind, opened
from finetune_trainer.data.readers.json_rows import jsonl_row
from finetune_trainer.data.readers.text import MAX_ROW, lines
from finetune_trainer.data.readers.values import embedded, rows_inside
from finetune_trainer.data.rows import Row

__all__ = [
    "KNOWN",
    "MAX_ROW",
    "Kind",
    "embedded",
    "is_data",
    "jsonl_row",
    "kind",
    "lines",
    "opened",
    "read",
    "rows_inside",
]


def read(path: Path, name: str) -> Iterator[Row]:
    """The rows of the file at `path`, in order. `name` is what the author calls it; it says what is inside.

    Raises `InvalidFile` and `InvalidRow`.
    """
    found = kind(path, name)
    if found == "parquet":
        yield from parquet_rows.rows(path, name)
        return
    with files.opened(path, name) as file:
        yield from _TEXT[found](file, name)


_TEXT: dict[Kind, Callable[[IO[bytes], str], Iterator[Row]]] = {
    "jsonl": json_rows.jsonl,
    "json": json_rows.json_values,
    "csv": csv_rows.csv_rows,
    "tsv": csv_rows.tsv_rows,
}

"""Parquet to rows, batch by batch."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_trainer import errors
from finetune_trainer.data.readers import files
from finetune_trainer.data.rows import Place, Row

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 256
"""Rows held at once."""
MAGIC = b"PAR1"


def rows(path: Path, name: str) -> Iterator[Row]:
    """The rows of a Parquet file, numbered from 1."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - plain text needs none

    _check(path, name)
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(file.schema_arrow.names, name)
            for batch in file.iter_batches(batch_size=BATCH):
                for record in _records(batch, name, number):
                    number += 1
                    yield Row(
                        Place(name, number, "row"), {key: _plain(value) for key, value in record.items()}
                    )
    except errors.TrainerError:
        raise
    except (
        Exception
    ) as error:  # a damaged file makes the library raise almost anything, UnicodeDecodeError and KeyError too
        raise _invalid(name, error) from error


def _check(path: Path, name: str) -> None:
    """Whether the file begins and ends as Parquet does: the reader's own words are no help there."""
    with path.open("rb") as file:
        head = file.read(files.HEAD)
        file.seek(max(path.stat().st_size - len(MAGIC), 0))
        tail = file.read()
    files.check(head, name)
    if not head.startswith(MAGIC):
        raise errors.InvalidFile(
            f"{name}: is not a Parquet file, though its name says so; correct the name, or upload it again"
        )
    if tail != MAGIC:
        raise errors.InvalidFile(f"{name}: the Parquet file is cut off; upload it again")


def _check_columns(columns: list[str], name: str) -> None:
    """Of two columns with one name, one would be lost."""
    if twice := [column for column, count in Counter(columns).items() if count > 1]:
        raise errors.InvalidFile(
            f"{name}: has the column {twice[0][:40]!r} twice; give each column a name of its own"
        )


def _records(batch: "pa.RecordBatch", name: str, before: int) -> list[dict[str, Any]]:
    """The rows of a batch. `before`: rows that came before it."""
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError, ArithmeticError, RecursionError) as error:
        at, cause = next(_broken(batch), (0, error))
        raise errors.InvalidRow(
            f"{Place(name, before + at + 1, 'row')}: holds a value that cannot be read ({str(cause)[:200]}); write texts as UTF-8 "
            "and times as texts, or leave the column out"
        ) from error


def _plain(value: Any) -> Any:
    """`value` as JSON would have it: times and decimals as texts, bytes as the text that they are, if they are one."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(
        value, bytes
    ):  # texts, where the writer did not say so; what is none is refused where a text is needed
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode("utf-8")
        return value
    return str(value)


def _broken(batch: "pa.RecordBatch") -> Iterator[tuple[int, Exception]]:
    """Rows of a batch that cannot be read, counted from 0, and why."""
    for at in range(batch.num_rows):
        try:
            batch.slice(at, 1).to_pylist()
        except (ValueError, OverflowError, ArithmeticError, RecursionError) as error:
            yield at, error


def _invalid(name: str, error: Exception) -> errors.InvalidFile:
    cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return errors.InvalidFile(f"{name}: is not a valid Parquet file ({cause}); upload it again")

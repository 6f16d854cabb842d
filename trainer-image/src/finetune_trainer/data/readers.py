"""Files to rows: JSONL, JSON arrays, CSV, TSV and Parquet, plain or compressed by gzip or zstd.

A row that cannot be read is `InvalidRow` with file, line and the text around; a file that cannot be read is `InvalidFile`.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from finetune_trainer import errors
from finetune_trainer.data.rows import Place, Row

COMPRESSIONS = (".gz", ".zst")
KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
KNOWN = "JSONL (.jsonl, .ndjson), JSON (.json), CSV (.csv, .tsv) and Parquet (.parquet), plain, .gz or .zst"
AROUND = 40
"""Characters shown on both sides of the spot where a row breaks."""
MAX_CELL = 64 * 1024 * 1024
"""Characters of one CSV field; Python's own limit of 128 Ki is too small for documents."""


def is_data(name: str) -> bool:
    """Whether the name says that rows are inside."""
    return _kind(name) is not None


def read(path: Path, name: str) -> Iterator[Row]:
    """The rows of the file at `path`, in order. `name` is what the author calls it; it says what is inside."""
    kind = _kind(name) or _sniffed(path, name)
    if kind == "parquet":
        yield from _parquet(path, name)
        return
    with _opened(path, name) as file:
        yield from _TEXT[kind](file, name)


def _kind(name: str) -> str | None:
    plain = name.lower()
    for suffix in COMPRESSIONS:
        plain = plain.removesuffix(suffix)
    return KINDS.get(Path(plain).suffix)


def _sniffed(path: Path, name: str) -> str:
    """What a file without a telling name holds: keys of ConfigMaps and web addresses often have none."""
    with _opened(path, name) as file:
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    for beginning, kind in ((b"PAR1", "parquet"), (b"{", "jsonl"), (b"[", "json")):
        if start.startswith(beginning):
            return kind
    if not start:
        return "jsonl"  # no rows, which is told as such
    raise errors.InvalidFile(
        f"{name}: the name does not say what is inside, and neither does its beginning; known are {KNOWN}"
    )


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """The file, unpacked."""
    suffix = Path(name.lower()).suffix
    try:
        if suffix == ".gz":
            with gzip.open(path) as unpacked:
                yield unpacked  # type: ignore[misc] # GzipFile is an IO[bytes] in all that is used
        elif suffix == ".zst":
            import pyarrow as pa  # noqa: PLC0415 - plain text needs none

            with pa.input_stream(str(path), compression="zstd") as stream:
                yield io.BufferedReader(stream)
        else:
            with path.open("rb") as file:
                yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise errors.InvalidFile(f"{name}: cannot be unpacked ({error}); upload it again") from error
    except OSError as error:
        if suffix != ".zst":
            raise
        raise errors.InvalidFile(f"{name}: cannot be unpacked ({error}); upload it again") from error


def _jsonl(file: IO[bytes], name: str) -> Iterator[Row]:
    for number, raw in enumerate(file, start=1):
        place = Place(name, number)
        line = _decoded(raw, place).strip()
        if number == 1 and line.startswith("["):
            yield from _array(line + "\n" + _rest(file, name), name)
            return
        if line:
            yield Row(place, _record(_value(line, place), place))


def _json(file: IO[bytes], name: str) -> Iterator[Row]:
    """An array of objects; and JSONL under the wrong name, which is common."""
    text = _rest(file, name)
    if text.lstrip().startswith("["):
        yield from _array(text, name)
        return
    yield from _jsonl(io.BytesIO(text.encode()), name)


def _array(text: str, name: str) -> Iterator[Row]:
    """The elements of a JSON array, each with the line it starts at."""
    decoder = json.JSONDecoder()
    at, line, counted = _skip(text, text.index("[") + 1), 1, 0
    while at < len(text) and text[at] != "]":
        line, counted = line + text.count("\n", counted, at), at
        place = Place(name, line)
        with _told(text, place, offset=0):
            value, at = decoder.raw_decode(text, at)
        yield Row(place, _record(value, place))
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] not in {"]", ""}:
            raise errors.InvalidRow(
                f"{place}: a comma or a closing ] is missing after this row: {_around(text, at)}"
            )
    if at >= len(text):
        raise errors.InvalidFile(f"{name}: the JSON array does not end; the file is cut off, upload it again")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _csv(file: IO[bytes], name: str, delimiter: str = ",") -> Iterator[Row]:
    csv.field_size_limit(MAX_CELL)
    lines = (_decoded(raw, Place(name, number)) for number, raw in enumerate(file, start=1))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        columns = next(reader, [])
        _check_columns(columns, name)
        before = reader.line_num
        for cells in reader:
            place = Place(name, before + 1)
            before = reader.line_num
            if cells:
                yield Row(place, _cells(columns, cells, place))
    except csv.Error as error:
        place = Place(name, reader.line_num)
        raise errors.InvalidRow(
            f"{place}: is no valid CSV ({error}); quote fields that hold quotes, commas or line ends"
        ) from error


def _tsv(file: IO[bytes], name: str) -> Iterator[Row]:
    yield from _csv(file, name, delimiter="\t")


def _check_columns(columns: list[str], name: str) -> None:
    if len(set(columns)) != len(columns):
        twice = sorted({column for column in columns if columns.count(column) > 1})
        raise errors.InvalidFile(
            f"{name}: the first line names the column {twice[0]!r} twice; give each column a name of its own"
        )


def _cells(columns: list[str], cells: list[str], place: Place) -> dict[str, Any]:
    if len(cells) != len(columns):
        raise errors.InvalidRow(
            f"{place}: has {len(cells)} fields, but the first line names {len(columns)} columns ({', '.join(columns)}); quote "
            "fields that hold the separator"
        )
    return dict(zip(columns, cells, strict=True))


def _parquet(path: Path, name: str) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 - plain text needs none
    import pyarrow.parquet as pq  # noqa: PLC0415 - same

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    place = Place(name, number, "row")
                    yield Row(place, _clean(record, place))
    except (pa.ArrowException, OSError) as error:
        raise errors.InvalidFile(
            f"{name}: is no valid Parquet file ({str(error).splitlines()[0][:200]}); upload it again"
        ) from error


_TEXT: dict[str, Callable[[IO[bytes], str], Iterator[Row]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
}


def _rest(file: IO[bytes], name: str) -> str:
    """All that is left, as text; a broken byte is told with its line."""
    return "".join(_decoded(raw, Place(name, number)) for number, raw in enumerate(file, start=1))


def _decoded(raw: bytes, place: Place) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.InvalidRow(
            f"{place}: byte {error.start + 1} is not UTF-8 (0x{raw[error.start]:02x}); save the file as UTF-8"
        ) from error
    return text.removeprefix("\ufeff") if place.number == 1 else text


def _value(line: str, place: Place) -> Any:
    with _told(line, place, offset=0):
        return json.loads(line)


@contextmanager
def _told(text: str, place: Place, *, offset: int) -> Iterator[None]:
    """Turn what the JSON parser raises into `InvalidRow`."""
    try:
        yield
    except json.JSONDecodeError as error:
        spot = error.pos + offset
        raise errors.InvalidRow(
            f"{place}: is no valid JSON ({error.msg}) at: {_around(text, spot)}"
        ) from error
    except RecursionError as error:
        raise errors.InvalidRow(f"{place}: is nested too deeply: {_around(text, 0)}") from error
    except ValueError as error:
        raise errors.InvalidRow(
            f"{place}: holds a number that cannot be read ({error}): {_around(text, 0)}"
        ) from error


def _around(text: str, spot: int) -> str:
    """The text around `spot`, on one line."""
    start, end = max(spot - AROUND, 0), spot + AROUND
    shown = text[start:end].replace("\n", "\\n").replace("\r", "\\r")
    return f"{'…' * (start > 0)}{shown}{'…' * (end < len(text))}"


def _record(value: Any, place: Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", type(None): "null", bool: "true or false"}.get(
            type(value), "a number"
        )
        raise errors.InvalidRow(
            f'{place}: is {kind}; a row must be an object with named columns, such as {{"messages": [...]}}'
        )
    return _clean(value, place)


def _clean(values: dict[str, Any], place: Place) -> dict[str, Any]:
    """`values`, once it is sure that every text in them is text: half surrogates would break the tokenizer later."""
    try:
        json.dumps(values, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeEncodeError as error:
        raise errors.InvalidRow(
            f"{place}: holds half of a surrogate pair (\\u{ord(error.object[error.start]):04x}), which is no character; write the "
            "character itself"
        ) from error
    return values

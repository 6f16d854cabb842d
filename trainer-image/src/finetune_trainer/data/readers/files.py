"""What a file is, by its name and its first bytes, and its bytes unpacked."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from finetune_trainer import errors

Kind = Literal["jsonl", "json", "csv", "tsv", "parquet"]
COMPRESSIONS = (".gz", ".zst")
KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
KNOWN = "JSONL (.jsonl, .ndjson), JSON (.json), CSV (.csv, .tsv) and Parquet (.parquet), plain, .gz or .zst"
HEAD = 4096
"""First bytes that tell what a file is."""
BUFFER = 256 * 1024
"""Bytes unpacked at once."""
BLANK = b"\xef\xbb\xbf \t\r\n"
"""What may stand before the first row: a byte order mark and white space."""

NO_DATA: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the data itself; fetch it with git lfs pull, and upload it again"),
    (b"<!doctype html", "is a web page, perhaps a login page; download the data itself, and upload it again"),
    (b"<html", "is a web page, perhaps a login page; download the data itself, and upload it again"),
    (b"<?xml", f"is XML; write its rows as one of {KNOWN}"),
    (b"pk\x03\x04", "is a zip archive or an Excel workbook; unpack it, or save the sheet as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook; save the sheet as CSV in UTF-8"),
    (b"%pdf-", f"is a PDF document; write its text as one of {KNOWN}"),
    (b"arrow1", "is an Arrow file; write it as Parquet or JSONL"),
    (b"sqlite format 3", "is an SQLite database; write its rows as JSONL"),
    (b"pare", "is an encrypted Parquet file; write it without encryption"),
    (b"bzh", "is compressed by bzip2; use gzip or zstd, and name it .gz or .zst"),
    (b"\xfd7zxz\x00", "is compressed by xz; use gzip or zstd, and name it .gz or .zst"),
    (b"\x1f\x8b", "is compressed by gzip; let its name end in .gz"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd; let its name end in .zst"),
    (b"\0\0\0\0", "begins with NUL bytes, so its content was never written; upload it again"),
    (b"\xff\xfe", "is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16; save it as UTF-8"),
)  # fmt: skip
"""How a file begins, in lower case, that holds no rows we can read."""


def is_data(name: str) -> bool:
    """Whether the name says that rows are inside."""
    return _named(name) is not None


def kind(path: Path, name: str) -> Kind:
    """What the file holds, by its name, or by its beginning: keys of ConfigMaps and web addresses often have no suffix.

    `jsonl` is promised to have one row a line: an array is `json`, whatever it is called. Raises `InvalidFile`.
    """
    named = _named(name)
    if named in {"parquet", "csv", "tsv"}:
        return named
    with opened(path, name) as file:
        start = _head(file).lstrip(BLANK)
    if named == "json" or start.startswith(b"["):
        return "json"
    if named == "jsonl" or start.startswith(b"{") or not start:  # no rows at all: told as such later
        return "jsonl"
    if start.startswith(b"PAR1"):
        return "parquet"
    raise errors.InvalidFile(
        f"{name}: neither its name nor its beginning says what is inside; save the data as one of {KNOWN}, with that suffix; "
        'plain text becomes JSONL with one {"text": "..."} on each line'
    )


def _named(name: str) -> Kind | None:
    plain = name.lower()
    for suffix in COMPRESSIONS:
        plain = plain.removesuffix(suffix)
    return KINDS.get(Path(plain).suffix)


@contextmanager
def opened(path: Path, name: str) -> Iterator[io.BufferedReader]:
    """The file, unpacked, as a stream. Raises `InvalidFile`, also for what holds no rows by its first bytes."""
    suffix = Path(name.lower()).suffix
    try:
        with _stream(path, suffix) as file:
            check(_head(file), name)
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _packed_badly(path, name, str(error)) from error
    except OSError as error:
        if suffix != ".zst":
            raise
        raise _packed_badly(path, name, str(error)) from error


def _stream(path: Path, suffix: str) -> io.BufferedReader:
    if suffix == ".gz":
        return io.BufferedReader(gzip.GzipFile(path), BUFFER)
    if suffix == ".zst":
        import pyarrow as pa  # noqa: PLC0415 - plain text needs none

        return io.BufferedReader(pa.input_stream(str(path), compression="zstd"), BUFFER)
    return io.BufferedReader(path.open("rb", buffering=0), BUFFER)


def _head(file: io.BufferedReader) -> bytes:
    return file.peek(HEAD)[:HEAD]


def check(head: bytes, name: str) -> None:
    """Raises `InvalidFile` where the first bytes of a file show that it holds no rows."""
    start = head.lstrip(BLANK)[:64].lower()
    for beginning, sentence in NO_DATA:
        if start.startswith(beginning) and not (beginning == b"pare" and _named(name) != "parquet"):
            raise errors.InvalidFile(f"{name}: {sentence}")
    if start[1:4:2] == b"\0\0" or start[:3:2] == b"\0\0":
        raise errors.InvalidFile(f"{name}: is UTF-16 or UTF-32; save it as UTF-8")


def _packed_badly(path: Path, name: str, cause: str) -> errors.InvalidFile:
    with path.open("rb") as file:
        start = file.read(4)
    suffix = Path(name.lower()).suffix
    right = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}[suffix]
    if not start.startswith(right):
        return errors.InvalidFile(
            f"{name}: is not compressed as its name says; remove {suffix} from the name, or compress it"
        )
    return errors.InvalidFile(f"{name}: cannot be unpacked ({cause}); compress it again, and upload it")

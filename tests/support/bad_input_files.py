"""Bad input: files that hold no rows, and lines that are none."""

import bz2
import gzip
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bad_input import GOOD, Case, file, jsonl, line

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 9000\n"
LOGIN = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"


def parquet(columns: dict[str, Any]) -> bytes:
    """A Parquet file."""
    made = io.BytesIO()
    pq.write_table(pa.table(columns), made)
    return made.getvalue()


def no_utf8() -> bytes:
    """A Parquet file whose second text is no UTF-8."""
    offsets = pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0")
    return parquet({"text": pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a\xff")])})


def zstd(content: bytes) -> bytes:
    """Packed by zstd."""
    return pa.compress(content, codec="zstd", asbytes=True)  # type: ignore[no-any-return]


ROWS = jsonl(GOOD)
PARQUET = parquet({"text": ["a", "b"]})
TWICE = io.BytesIO()
pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, names=["text", "text"]), TWICE)

FILES = [
    Case(
        wrong="nothing at the URI",
        content=None,
        code=64,
        reason="DataFileNotFound",
    ),
    Case(
        wrong="no file fits the pattern",
        spec={"dataset": {"train": [{"uri": "pvc://data/*.parquet"}]}},
        code=64,
        reason="DataFileNotFound",
    ),
    Case(
        wrong="a folder without a data file",
        name="README.md",
        content=b"# Our data\n",
        spec={"dataset": {"train": [{"uri": "pvc://data"}]}},
        code=64,
        reason="DataFileNotFound",
    ),
    file("an empty file", "train.jsonl", b"", "EmptyDataset"),
    file("nothing but blank lines", "train.jsonl", b"\n \r\n\n", "EmptyDataset"),
    file("an empty list", "train.json", b"[]\n", "EmptyDataset"),
    file(
        "CSV with the names of columns and nothing else", "train.csv", b"prompt,completion\n", "EmptyDataset"
    ),
    file(
        "Parquet without rows", "train.parquet", parquet({"text": pa.array([], pa.string())}), "EmptyDataset"
    ),
    file("a name that does not say what is inside", "train.txt", b"Once upon a time\n", "InvalidFile"),
    file("a Git LFS pointer instead of the data", "train.jsonl", LFS, "InvalidFile"),
    file("the login page of a web site", "train.jsonl", LOGIN, "InvalidFile"),
    file("XML", "train.json", b"<?xml version='1.0'?>\n<rows/>\n", "InvalidFile"),
    file("a PDF document", "train.txt", b"%PDF-1.7\n", "InvalidFile"),
    file("an Excel workbook called .csv", "train.csv", b"PK\x03\x04\x14\x00\x06\x00", "InvalidFile"),
    file("gzip without .gz in the name", "train.jsonl", gzip.compress(ROWS, mtime=0), "InvalidFile"),
    file(".gz in the name without gzip", "train.jsonl.gz", ROWS, "InvalidFile"),
    file("gzip, cut off", "train.jsonl.gz", gzip.compress(ROWS, mtime=0)[:-9], "InvalidFile"),
    file(
        "gzip with something after it",
        "train.jsonl.gz",
        gzip.compress(ROWS, mtime=0) + b"more",
        "InvalidFile",
    ),
    file("zstd, cut off", "train.jsonl.zst", zstd(ROWS)[:-5], "InvalidFile"),
    file(".zst in the name, gzip inside", "train.jsonl.zst", gzip.compress(ROWS, mtime=0), "InvalidFile"),
    file("bzip2", "train.jsonl.bz2", bz2.compress(ROWS), "InvalidFile"),
    file(
        "UTF-16 with a byte order mark",
        "train.csv",
        "prompt,completion\na,b\n".encode("utf-16"),
        "InvalidFile",
    ),
    file("UTF-16 without one", "train.jsonl", ROWS.decode().encode("utf-16-le"), "InvalidFile"),
    file("NUL bytes only", "train.jsonl", bytes(512), "InvalidFile"),
    file("another kind of file called .parquet", "train.parquet", ROWS, "InvalidFile"),
    file("Parquet, cut off", "train.parquet", PARQUET[:-20], "InvalidFile"),
    file("Parquet with a broken footer", "train.parquet", PARQUET[:-12] + bytes(8) + b"PAR1", "InvalidFile"),
    file("encrypted Parquet", "train.parquet", b"PARE" + PARQUET[4:-4] + b"PARE", "InvalidFile"),
    file("Parquet with two columns of one name", "train.parquet", TWICE.getvalue(), "InvalidFile"),
    file("Parquet with a text that is not UTF-8", "train.parquet", no_utf8(), "InvalidRow"),
    file("a JSON list, cut off after a row", "train.json", b'[{"text": "a"},\n {"text": "b"}', "InvalidFile"),
    file("a JSON list, cut off within a row", "train.json", b'[{"text": "a"},\n {"text": "b', "InvalidRow"),
    file("two JSON lists", "train.json", b'[{"text": "a"}]\n[{"text": "b"}]\n', "InvalidFile"),
    file("a JSON list without a comma", "train.json", b'[{"text": "a"}\n {"text": "b"}]\n', "InvalidRow"),
    file("a JSON list of texts", "train.json", b'["a", "b"]\n', "InvalidRow"),
    file(
        "objects with commas, but no list around",
        "train.json",
        b'{"text": "a"},\n{"text": "b"}\n',
        "InvalidRow",
    ),
    file("rows inside an object", "train.json", b'{"version": 2, "data": [{"text": "a"}]}\n', "InvalidFile"),
    file("rows by their ids", "train.json", b'{"7a": {"text": "a"}, "7b": {"text": "b"}}\n', "InvalidFile"),
    file("whole columns", "train.json", b'{"text": {"0": "a", "1": "b"}}\n', "InvalidFile"),
    file("CSV with semicolons", "train.csv", b"prompt;completion\na;b\n", "InvalidFile"),
    file("CSV with tabs", "train.csv", b"prompt\tcompletion\na\tb\n", "InvalidFile"),
    file("JSON called .csv", "train.csv", b'{"prompt": "a"}\n', "InvalidFile"),
    file("two columns of one name", "train.csv", b"prompt,text,text\na,b,c\n", "InvalidFile"),
    file("columns without a name", "train.csv", b",,text\n1,2,c\n", "InvalidFile"),
    file(
        "a CSV row with too many fields", "train.csv", b"prompt,completion\na,b\na,b, and c\n", "InvalidRow"
    ),
    file("a CSV row with too few fields", "train.csv", b"prompt,completion\na,b\na\n", "InvalidRow"),
    file(
        "a quote that is never closed", "train.csv", b'prompt,completion\n"a\n1",b\na,"b\nc,d\n', "InvalidRow"
    ),
    file("words after a closed quote", "train.csv", b'prompt,completion\n"a" b,c\n', "InvalidRow"),
    file("CSV with line ends of old Macs", "train.csv", b"prompt,completion\ra,b\r", "InvalidRow"),
    file("a file name that a terminal would obey", "a\x1b[31m\u202e.jsonl", b"{", "InvalidRow"),
]

LINES = [
    line("a line that is cut off", '{"messages": [{"role": "user", "content": "unfinished\n'),
    line("a row over several lines", '{\n  "messages": []\n}\n'),
    line("two rows on one line", '{"messages": []} {"messages": []}\n'),
    line("a comma after each row", '{"messages": []},\n'),
    line("lines that end with a lone carriage return", '{"messages": []}\r{"messages": []}\r'),
    line("Python's notation instead of JSON", "{'messages': []}\n"),
    line("Python's None", '{"messages": None}\n'),
    line("a comma too many", '{"messages": [], }\n'),
    line("a quote inside a text", '{"text": "the "best" of all"}\n'),
    line("a tab inside a text", '{"text": "one\ttwo"}\n'),
    line("a backslash inside a text", '{"text": "C:\\data"}\n'),
    line("a comment", "# the rest is from May\n"),
    line("not JSON at all", "Once upon a time\n"),
    line("NaN", '{"messages": [], "score": NaN}\n'),
    line("a number beyond all bounds", '{"messages": [], "score": 1e999}\n'),
    line("a number of 5000 digits", '{"messages": [], "score": ' + "9" * 5000 + "}\n"),
    line("a name twice in one object", '{"text": "a", "text": "b"}\n'),
    line("half a surrogate pair", '{"text": "\\ud83d"}\n'),
    line("a hundred brackets within brackets", '{"text": ' + "[" * 120 + "]" * 120 + "}\n"),
    line("Latin-1", '{"text": "café"}\n'.encode("latin-1")),
    line("NUL bytes at the end, as after a full disk", bytes(64)),
    line("a list instead of an object", '["a", "b"]\n'),
    line("null", "null\n"),
    file("a line of 65 MiB", "train.jsonl.zst", zstd(ROWS + b'{"text": "' + b"x" * (65 << 20)), "InvalidRow"),
]

CHAPTERS = {"Files": FILES, "Lines": LINES}

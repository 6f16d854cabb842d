import gzip
import json
from pathlib import Path

import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies

from finetune_trainer import errors
from finetune_trainer.data import readers


def rows(tmp_path: Path, name: str, content: bytes) -> list:
    path = tmp_path / "00000"
    path.write_bytes(content)
    return list(readers.read(path, name))


def seen(found: list) -> list:
    return [(str(row.place), row.values) for row in found]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"text": "one"}\n\n{"text": "two"}'),
        ("a.jsonl", b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "two"}\r\n'),
        ("a.ndjson", b'{"text": "one"}\n \n{"text": "two"}\n'),
        ("a.json", b'{"text": "one"}\n\n{"text": "two"}\n'),
        ("a.json", b'[{"text": "one"},\n\n {"text": "two"}]'),
        ("a.jsonl", b'[{"text": "one"},\n\n{"text": "two"}\n]\n'),
        ("key", b'[{"text": "one"}, \n\n{"text": "two"}]'),
        ("key", b'{"text": "one"}\n\n{"text": "two"}'),
        ("a.csv", b'text\none\n"two"\n'),
        ("a.jsonl.gz", gzip.compress(b'{"text": "one"}\n\n{"text": "two"}', mtime=0)),
        ("a.jsonl.zst", pa.compress(b'{"text": "one"}\n\n{"text": "two"}', codec="zstd", asbytes=True)),
    ],
)
def test_rows_come_with_the_line_they_stand_on(tmp_path, name, content):
    lines = (2, 3) if name.endswith(".csv") else (1, 3)

    found = rows(tmp_path, name, content)

    assert seen(found) == [
        (f"{name} line {lines[0]}", {"text": "one"}),
        (f"{name} line {lines[1]}", {"text": "two"}),
    ]


def test_csv_rows_may_span_lines_and_the_first_line_counts(tmp_path):
    found = rows(tmp_path, "a.csv", b'text,n\n"one\ntwo, ""three""",1\nfour,2\n')

    assert seen(found) == [
        ("a.csv line 2", {"text": 'one\ntwo, "three"', "n": "1"}),
        ("a.csv line 4", {"text": "four", "n": "2"}),
    ]


def test_tabs_separate_tsv(tmp_path):
    assert seen(rows(tmp_path, "a.tsv", b"a\tb\n1, 2\t3\n")) == [("a.tsv line 2", {"a": "1, 2", "b": "3"})]


def test_parquet_rows_are_numbered(tmp_path):
    table = pa.table({"messages": [[{"role": "user", "content": "hi"}], []], "n": [1, None]})
    pq.write_table(table, tmp_path / "made")

    found = rows(tmp_path, "a.parquet", (tmp_path / "made").read_bytes())

    assert seen(found) == [
        ("a.parquet row 1", {"messages": [{"role": "user", "content": "hi"}], "n": 1}),
        ("a.parquet row 2", {"messages": [], "n": None}),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "key"])
def test_an_empty_file_has_no_rows(tmp_path, name):
    assert rows(tmp_path, name, b"") == []


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        (
            "a.jsonl",
            b'{"a": 1}\n{"b": "unfinished}\n',
            errors.InvalidRow,
            r'a\.jsonl line 2: is no valid JSON .*"unfinished',
        ),
        ("a.jsonl", b'{"a": 1}\n[1]\n', errors.InvalidRow, "line 2: is a list"),
        ("a.jsonl", b"null\n", errors.InvalidRow, "line 1: is null"),
        ("a.jsonl", b'"x"\n', errors.InvalidRow, "line 1: is a string"),
        (
            "a.jsonl",
            b'{"a": "\xff"}\n',
            errors.InvalidRow,
            r"line 1: byte 0xff is not UTF-8, at: \{\"a\": \"�",
        ),
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), errors.InvalidFile, "UTF-8"),
        ("a.jsonl", b'{"a": "\\ud800"}\n', errors.InvalidRow, r"surrogate pair \(\\ud800\)"),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000 + b"}\n", errors.InvalidRow, "line 1"),
        ("a.jsonl", b'{"a": ' + b"9" * 5_000 + b"}\n", errors.InvalidRow, "line 1: holds a number"),
        ("a.jsonl", b'{"a": 1}{"a": 2}\n', errors.InvalidRow, "Extra data"),
        ("a.json", b'[{"a": 1}\n {"a": 2}]', errors.InvalidRow, "a comma or a closing"),
        ("a.json", b'[{"a": 1},\n {"a": 2}', errors.InvalidFile, "cut off"),
        ("a.json", b'[{"a": 1},\n {"a": ]', errors.InvalidRow, "line 2"),
        ("a.json", b'{\n "rows": [\n{"a": 1}]}', errors.InvalidFile, "its 'rows' is a list of rows"),
        (
            "a.csv",
            b"a,b\n1,2\n1,2,3\n",
            errors.InvalidRow,
            r"line 3: has 3 fields, but the first line names 2 columns \(a, b\)",
        ),
        ("a.csv", b'a,b\n"1"x,2\n', errors.InvalidRow, "line 2: is no valid CSV"),
        ("a.csv", b'a,b\n"1,2\n', errors.InvalidRow, "line 2: a quote is opened"),
        ("a.csv", b"a,a\n1,2\n", errors.InvalidFile, "column 'a' twice"),
        ("a.parquet", b"PAR1 nonsense PAR1", errors.InvalidFile, "no valid Parquet"),
        ("a.jsonl.gz", b"no gzip", errors.InvalidFile, "is not compressed"),
        (
            "a.jsonl.gz",
            gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-9],
            errors.InvalidFile,
            "cannot be unpacked",
        ),
        ("a.jsonl.zst", b"no zstd", errors.InvalidFile, "is not compressed"),
        ("key", b"just words", errors.InvalidFile, "does not say what is inside"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_and_line(tmp_path, name, content, error, says):
    with pytest.raises(error, match=says) as told:
        rows(tmp_path, name, content)

    assert str(told.value).startswith(name)
    assert len(str(told.value)) < 500


@hypothesis.settings(
    max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(
    content=strategies.binary(max_size=200)
    | strategies.text(alphabet='[]{}",:\\nu0"a \n\r\t\ufeff', max_size=200).map(lambda text: text.encode()),
    name=strategies.sampled_from(
        ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.jsonl.gz", "a.jsonl.zst", "key"]
    ),
)
def test_any_bytes_end_in_rows_or_in_a_data_error(tmp_path, name, content):
    told = name
    try:
        found = rows(tmp_path, name, content)
    except (errors.InvalidRow, errors.InvalidFile) as error:
        found, told = [], str(error)

    assert told.startswith(name)
    assert all(json.dumps(row.values, default=str) for row in found)

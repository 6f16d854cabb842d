import datetime as dt
import decimal
import gzip
import json
import re
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finetune_trainer import errors
from finetune_trainer.data import readers
from finetune_trainer.data.readers import json_rows, text
from finetune_trainer.data.rows import Place, Row


def rows(tmp_path: Path, name: str, content: bytes) -> list:
    path = tmp_path / "00000"
    path.write_bytes(content)
    return list(readers.read(path, name))


def zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


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
            r'a\.jsonl line 2: is not valid JSON .*"unfinished',
        ),
        ("a.jsonl", b'{"a": 1}\n[1]\n', errors.InvalidRow, "line 2: is a list"),
        ("a.jsonl", b"null\n", errors.InvalidRow, "line 1: is null"),
        ("a.jsonl", b'"x"\n', errors.InvalidRow, "line 1: is a text"),
        (
            "a.jsonl",
            b'{"a": "\xff"}\n',
            errors.InvalidRow,
            r"line 1: byte 0xff is not UTF-8, at: \{\"a\": \"�",
        ),
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), errors.InvalidFile, "UTF-8"),
        (
            "a.jsonl",
            b'{"a": "\\ud800"}\n',
            errors.InvalidRow,
            r"half of a character \(\\ud800, one half of a surrogate pair\)",
        ),
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
        ("a.csv", b'a,b\n"1"x,2\n', errors.InvalidRow, "line 2: is not valid CSV"),
        ("a.csv", b'a,b\n"1,2\n', errors.InvalidRow, "line 2: a quote is opened"),
        ("a.csv", b"a,a\n1,2\n", errors.InvalidFile, "column 'a' twice"),
        ("a.parquet", b"PAR1 nonsense PAR1", errors.InvalidFile, "not a valid Parquet"),
        ("a.jsonl.gz", b"no gzip", errors.InvalidFile, "is not compressed"),
        (
            "a.jsonl.gz",
            gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-9],
            errors.InvalidFile,
            "cannot be unpacked",
        ),
        ("a.jsonl.zst", b"no zstd", errors.InvalidFile, "is not compressed"),
        ("key", b"just words", errors.InvalidFile, "neither its name nor its beginning says what is inside"),
        ("a.tsv", b"a,b\n1,2\n", errors.InvalidFile, "by commas, not by tabs; let its name end in .csv$"),
        ("a.tsv", b"a;b\n1;2\n", errors.InvalidFile, "by semicolons, not by tabs; save it with tabs$"),
        ("a.csv", b"a\tb\n1\t2\n", errors.InvalidFile, "by tabs, not by commas; let its name end in .tsv$"),
        ("a.csv", b"a;b\n1;2\n", errors.InvalidFile, "by semicolons, not by commas; save it with commas$"),
        (
            "a.csv",
            b"a,b\n1\n",
            errors.InvalidRow,
            r"has 1 field, .*\(a, b\); fill in what is missing, and quote",
        ),
        ("a.csv", b"a,b\n1,2,3\n", errors.InvalidRow, r"\(a, b\); quote fields that hold the separator$"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_and_line(tmp_path, name, content, error, says):
    with pytest.raises(error, match=says) as told:
        rows(tmp_path, name, content)

    assert str(told.value).startswith(name)
    assert len(str(told.value)) < 500


@pytest.mark.parametrize(
    ("name", "content", "advised"),
    [
        (
            "a.jsonl",
            '{"a": 1 "b": 2}',
            'put the missing comma or colon there; or, if a quote stands inside a text, write it as \\"',
        ),
        ("a.jsonl", '{"a" 1}', "put the missing comma or colon there; or, if"),
        ("a.jsonl", '{"a": "the "best""}', 'if a quote stands inside a text, write it as \\"'),
        ("a.jsonl", '{"a": "b', "line ends inside a text as \\n, or upload the file again if it is cut off"),
        (
            "a.jsonl",
            "2024 was a good year",
            'a file of plain text needs one object such as {"text": "..."} on each line',
        ),
        (
            "a.jsonl",
            "words",
            'a row is an object such as {"messages": [...]}; other kinds of files need their own suffix',
        ),
        ("a.json", '[{"a": 1},,{"b": 2}]', "remove one of the two commas"),
        (
            "a.json",
            '[{"a": 1}, x]',
            'remove what stands here, or put a row there: an object such as {"messages": [...]}',
        ),
        ("a.json", '{"a": 1} x', "remove what stands here, or put a row there"),
        ("a.jsonl", '{"a": 1,}', "remove the comma before the closing bracket"),
        ("a.jsonl", '{"a": "x",, "b": 1}', "remove one of the two commas"),
        ("a.jsonl", '{text: "a"}', "put the names of columns into double quotes"),
        ("a.jsonl", '{"a": \u201cx\u201d}', 'use straight quotes (")'),
        (
            "a.jsonl",
            '{"a": undefined}',
            "write null, true, false, a number with a digit before the point, or a text in",
        ),
        ("a.jsonl", '{"a": TRUE}', "write null, true, false, a number with"),
        ("a.jsonl", '{"a": .5}', "a number with a digit before the point"),
        ("a.jsonl", '{"a": True}', "as json.dumps does, not Python's None, True and False"),
        ("a.jsonl", '{"a": 1, // b\n', "JSON has no comments; remove this one"),
        ("a.jsonl", '{"a": *}', "correct the row there"),
    ],
)
def test_json_that_is_amiss_is_told_with_what_helps(tmp_path, name, content, advised):
    with pytest.raises(errors.InvalidRow) as told:
        rows(tmp_path, name, content.encode())

    assert advised in str(told.value).partition("; ")[2]


@pytest.fixture
def small(monkeypatch):
    """Rows of at most 100 kB, read in chunks of 10."""
    monkeypatch.setattr(text, "MAX_ROW", 100_000)
    monkeypatch.setattr(json_rows, "CHUNK", 10_000)


def test_line_separators_of_unicode_end_no_line(tmp_path):
    text = "one\u2028two\u2029three\x85four\x0bfive\x1csix"
    content = json.dumps({"text": text}, ensure_ascii=False).replace("\x0b", "").replace("\x1c", "")

    found = rows(tmp_path, "a.jsonl", f"{content}\n{content}\n".encode())

    assert [row.place.number for row in found] == [1, 2]
    assert found[0].values["text"].startswith("one\u2028two\u2029three\x85four")


def test_files_put_one_behind_the_other_may_have_marks_in_between(tmp_path):
    found = rows(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"a": 1}\n\xef\xbb\xbf{"a": 2}\n')

    assert [row.values for row in found] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("pack", [lambda raw: gzip.compress(raw, mtime=0), zstd], ids=["gz", "zst"])
def test_packed_files_may_consist_of_several(tmp_path, pack):
    name = "a.jsonl.gz" if pack is not zstd else "a.jsonl.zst"

    found = rows(tmp_path, name, pack(b'{"a": 1}\n') + pack(b'{"a": 2}\n'))

    assert seen(found) == [(f"{name} line 1", {"a": 1}), (f"{name} line 2", {"a": 2})]


def test_objects_may_span_lines_in_json(tmp_path):
    found = rows(tmp_path, "a.json", b'{\n  "a": 1\n}\n{\n  "a": 2\n}\n')

    assert seen(found) == [("a.json line 1", {"a": 1}), ("a.json line 4", {"a": 2})]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_an_array_is_read_in_pieces_with_its_lines(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(json_rows, "CHUNK", chunk)
    values = [
        {"n": n, "text": 'é "quoted"\n한글 \U0001f600' * n, "inner": {"of": [n, -1.5e3, None]}}
        for n in range(30)
    ]
    document = json.dumps(values, indent=1, ensure_ascii=False)
    starts = [number for number, line in enumerate(document.split("\n"), start=1) if line == " {"]

    found = rows(tmp_path, "a.json", document.encode())

    assert [row.values for row in found] == values
    assert [row.place.number for row in found] == starts


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ('{"a": oops}', r"line 9: is not valid JSON \(Expecting value at column 8\)"),
        ('{"a":\n  oops}', r"line 9: is not valid JSON \(Expecting value at line 10, column 3\)"),
        ('{"a": NaN}', "line 9: holds NaN"),
        ('{"a": 1, "a": 2}', "line 9: names 'a' twice"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "line 9: is nested more than 100"),
        ("7", "line 9: is a number"),
    ],
)
def test_what_is_wrong_in_an_array_is_told_with_its_line(tmp_path, monkeypatch, chunk, broken, says):
    monkeypatch.setattr(json_rows, "CHUNK", chunk)
    good = '{"a":\n1},\n' * 4

    with pytest.raises(errors.InvalidRow, match=says):
        rows(tmp_path, "a.json", f'[{good} {broken},\n{{"a": 1}}]'.encode())


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_byte_of_another_encoding_is_told_with_its_line(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(json_rows, "CHUNK", chunk)

    with pytest.raises(errors.InvalidRow, match="line 3: byte 0xe9 is not UTF-8"):
        rows(tmp_path, "a.json", b'[{"a": 1},\n\n{"a": "caf\xe9"}]')


@pytest.mark.parametrize(
    "case",
    [
        (
            "a.jsonl",
            b'{"a": 1}\n{"a": "%s"}\n',
            "a.jsonl line 2: the line that begins here is longer than 0 MiB",
        ),
        ("a.json", b'[{"a": 1},\n{"a": "%s"}]\n', "a.json line 2: the value that begins here is longer"),
        ("a.csv", b'a,b\n1,2\n1,"%s"\n', "a.csv line 3: the line that begins here is longer"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_row_without_end_is_not_held(tmp_path, small, case, pack):
    name, content, says = case
    long = pack(content % (b"x" * 30_000_000))
    tracemalloc.start()

    with pytest.raises(errors.InvalidRow) as told:
        rows(tmp_path, name if pack is bytes else f"{name}.gz", long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert str(told.value).replace(".gz", "").startswith(says)
    assert peak < 3_000_000


@pytest.mark.parametrize(
    ("opened", "line"),
    [('3,"open', 4), ('"3\n3","open', 5), ('"3\nsays ""x""\n3","","op""en', 6), ('"open', 4)],
)
@pytest.mark.parametrize("lines", [3, 10_000])
def test_an_unclosed_quote_is_told_with_the_line_it_was_opened_on(tmp_path, monkeypatch, opened, line, lines):
    monkeypatch.setattr(text, "MAX_ROW", 10_000)
    content = f'a,b\n"one\ntwo",1\n{opened}\n' + "4,5\n" * lines

    with pytest.raises(errors.InvalidRow, match=f"line {line}: a quote is opened here and never closed"):
        rows(tmp_path, "a.csv", content.encode())


def test_a_parquet_text_that_is_no_utf8_is_told_with_its_row(tmp_path):
    broken = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")]
    )
    pq.write_table(pa.table({"text": broken}), tmp_path / "made")

    with pytest.raises(
        errors.InvalidRow, match=r"^a\.parquet row 2: holds a value that cannot be read .*UTF-8"
    ):
        rows(tmp_path, "a.parquet", (tmp_path / "made").read_bytes())


def test_parquet_values_that_json_lacks_become_texts(tmp_path):
    table = pa.table(
        {
            "words": pa.array(["naïve".encode(), b"\xff"], pa.binary()),
            "day": [dt.date(2026, 11, 22), None],
            "price": [decimal.Decimal("1.50"), None],
            "inner": [{"at": dt.datetime(2026, 11, 22, 10, 0), "of": [b"x"]}, None],  # noqa: DTZ001 - as Parquet has it
        }
    )
    pq.write_table(table, tmp_path / "made")

    found = rows(tmp_path, "a.parquet", (tmp_path / "made").read_bytes())

    assert [row.values for row in found] == [
        {
            "words": "naïve",
            "day": "2026-11-22",
            "price": "1.50",
            "inner": {"at": "2026-11-22 10:00:00", "of": ["x"]},
        },
        {"words": b"\xff", "day": None, "price": None, "inner": None},
    ]


def test_a_parquet_column_whose_name_is_no_utf8(tmp_path):  # found by the fuzzer
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "made")
    content = (tmp_path / "made").read_bytes().replace(b"text", b"te\xc5t")

    with pytest.raises(errors.InvalidFile, match=r"^a\.parquet: is not a valid Parquet file"):
        rows(tmp_path, "a.parquet", content)


def test_of_two_parquet_columns_with_one_name_none_is_lost(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "made")

    with pytest.raises(errors.InvalidFile, match="the column 'a' twice"):
        rows(tmp_path, "a.parquet", (tmp_path / "made").read_bytes())


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (' [{"a": "\\ud83d\\ude00"}] ', [{"a": "\U0001f600"}]),
        ('[{"a": "\\ud83d"}]', None),
        ("[" * 5_000, None),
        ("[" * 200 + "]" * 200, None),
        ("[1] x", None),
        ("[NaN]", None),
    ],
)
def test_json_inside_of_a_cell_is_held_to_the_same(cell, value):
    if value is None:
        with pytest.raises(ValueError, match=r"."):
            readers.embedded(cell)
    else:
        assert readers.embedded(cell) == value


def test_one_line_can_be_read_on_its_own():
    place = Place("a.jsonl", 7)

    assert readers.jsonl_row(b' {"a": "\\ud83d\\ude00"}\r\n', place) == Row(place, {"a": "\U0001f600"})
    assert readers.jsonl_row(b" \r\n", place) is None
    with pytest.raises(errors.InvalidRow, match=r"^a\.jsonl line 7: "):
        readers.jsonl_row(b'{"a": "\\ude00"}', place)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", b'\xef\xbb\xbf\n {"a": 1}', "jsonl"),
        ("a.jsonl", b" [", "json"),
        ("a.ndjson.gz", gzip.compress(b"[", mtime=0), "json"),
        ("a.json", b'{"a": 1}', "json"),
        ("key", b'{"a": 1}', "jsonl"),
        ("key", b"", "jsonl"),
        ("A.CSV", b"{", "csv"),
    ],
)
def test_what_a_file_holds(tmp_path, name, content, kind):
    (tmp_path / "x").write_bytes(content)

    assert readers.kind(tmp_path / "x", name) == kind


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"version": "1", "data": [{"text": "a"}]}, r"jq '\.data'"),
        ({"id-1": {"text": "a"}, "id-2": {"text": "b"}}, "each row has a key of its own"),
        ({"text": {"0": "a", "1": "b"}, "n": {"0": 1, "1": 2}}, "orient='records'"),
        ({"text": ["a", "b"], "n": [1, 2]}, "orient='records'"),
    ],
)
def test_rows_inside_of_an_object_are_found(values, says):
    assert re.search(says, readers.rows_inside(values) or "")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"text": "a"},
        {"data": [{"role": "user", "content": "a"}]},
        {"messages": [{"role": "user", "content": "a"}], "tools": []},
        {"conversations": [{"from": "human", "value": "a"}]},
        {"chosen": [{"role": "user"}], "rejected": [{"role": "user"}]},
        {"data": []},
        {"data": "x"},
    ],
)
def test_a_row_is_not_taken_for_more(values):
    assert readers.rows_inside(values) is None

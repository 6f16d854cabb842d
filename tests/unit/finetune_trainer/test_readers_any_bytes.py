"""Whatever bytes a file has: rows, or a data error that names it. Never another exception."""

import contextlib
import csv
import gzip
import io
import json

import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies

import any_bytes
from finetune_trainer import errors
from finetune_trainer.data import chunks, readers
from finetune_trainer.data.readers import json_rows
from finetune_trainer.data.sources import Fetched

SETTINGS = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.function_scoped_fixture],
}
VALUES = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text(max_size=8),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
ROWS = strategies.lists(strategies.dictionaries(strategies.text(max_size=4), VALUES, max_size=3), max_size=6)
WORDS = strategies.text(
    strategies.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=12
)


@hypothesis.settings(max_examples=150, **SETTINGS)
@hypothesis.given(
    content=strategies.binary(max_size=200)
    | strategies.text(alphabet="[]{}\",:;'\\nu0dDeE-.a \n\r\t\ufeff\0", max_size=200).map(str.encode)
    | strategies.lists(
        strategies.sampled_from(
            [b'{"a":', b"[", b"]", b"}", b",", b'"', b"\\ud800", b"NaN", b"1e999", b"9" * 5000, b"[" * 2000, b"\n", b"\xff",
             b"\xef\xbb\xbf", b"PAR1", b"\x1f\x8b", b"<html", b"\0", b"null", b'{"a": 1}\n']
        ),
        max_size=12,
    ).map(b"".join),
    name=strategies.sampled_from(any_bytes.NAMES),
    packed=strategies.booleans(),
)  # fmt: skip
def test_any_bytes_end_in_rows_or_in_a_data_error(tmp_path, name, content, packed):
    if packed and name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    elif packed and name.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)

    any_bytes.rows(tmp_path, name, content)


@hypothesis.settings(max_examples=60, **SETTINGS)
@hypothesis.given(rows=ROWS, chunk=strategies.integers(1, 40), indent=strategies.sampled_from([None, 0, 2]))
def test_json_gives_back_what_was_written(tmp_path, rows, chunk, indent):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "CHUNK", chunk)
        text = json.dumps(rows, indent=indent, ensure_ascii=False)
        found = any_bytes.rows(tmp_path, "a.json", text.encode())

    assert [row.values for row in found] == rows


@hypothesis.settings(max_examples=60, **SETTINGS)
@hypothesis.given(rows=ROWS, blank=strategies.lists(strategies.integers(0, 3), min_size=6, max_size=6))
def test_jsonl_gives_back_what_was_written_with_its_lines(tmp_path, rows, blank):
    lines, places = [], []
    for row, gap in zip(rows, blank, strict=False):
        lines += [""] * gap + [json.dumps(row, ensure_ascii=False)]
        places.append(len(lines))

    found = any_bytes.rows(tmp_path, "a.jsonl", "\n".join(lines).encode())

    assert [row.values for row in found] == rows
    assert [row.place.number for row in found] == places


@hypothesis.settings(max_examples=60, **SETTINGS)
@hypothesis.given(rows=strategies.lists(strategies.tuples(WORDS, WORDS), max_size=6))
def test_csv_gives_back_what_was_written_with_its_lines(tmp_path, rows):
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["one", "two"])
    places = []
    for row in rows:
        places.append(file.getvalue().count("\n") + 1)
        writer.writerow(row)

    found = any_bytes.rows(tmp_path, "a.csv", file.getvalue().encode())

    assert [tuple(row.values.values()) for row in found] == rows
    assert [row.place.number for row in found] == places


@hypothesis.settings(max_examples=80, **SETTINGS)
@hypothesis.given(
    spots=strategies.lists(
        strategies.tuples(strategies.integers(0, 10_000), strategies.integers(0, 255)), max_size=4
    ),
    cut=strategies.integers(0, 200),
)
def test_damaged_parquet_ends_in_rows_or_in_a_data_error(tmp_path, spots, cut):
    table = pa.table(
        {"messages": [[{"role": "user", "content": "hi"}], []], "text": ["a", None], "n": [1, 2]}
    )
    pq.write_table(table, tmp_path / "made")
    content = bytearray((tmp_path / "made").read_bytes())
    for spot, byte in spots:
        content[spot % len(content)] = byte
    del content[4 : 4 + cut]

    any_bytes.rows(tmp_path, "a.parquet", bytes(content))


PARTS = strategies.sampled_from(
    ["messages", "conversations", "prompt", "completion", "chosen", "rejected", "label", "instruction", "input", "output",
     "history", "system", "tools", "text", "question", "images", "x"]
)  # fmt: skip
ROLES = strategies.sampled_from(
    ["user", "assistant", "system", "tool", "human", "gpt", "function_call", "User", "", None, 7]
)
TURNS = strategies.lists(
    strategies.fixed_dictionaries(
        {},
        optional={
            "role": ROLES, "from": ROLES, "content": VALUES | strategies.just("Hello."), "value": VALUES, "weight": VALUES,
            "tool_calls": VALUES | strategies.just([{"function": {"name": "f", "arguments": "{"}}]), "tool_call_id": VALUES,
        },
    )
    | VALUES,
    max_size=4,
)  # fmt: skip
CELLS = (
    VALUES
    | TURNS
    | TURNS.map(json.dumps)
    | strategies.sampled_from(["Hello.", "", " ", True, 1, "false", "[", '["\\ud800"]'])
)


@hypothesis.settings(max_examples=150, **SETTINGS)
@hypothesis.given(
    rows=strategies.lists(strategies.dictionaries(PARTS, CELLS, max_size=6), min_size=1, max_size=3),
    parquet=strategies.booleans(),
)
def test_any_rows_end_in_a_meaning_or_in_a_data_error(tmp_path, rows, parquet):
    name, content = "a.jsonl", "\n".join(map(json.dumps, rows)).encode()
    if parquet:
        with contextlib.suppress(pa.ArrowException, OverflowError, TypeError, ValueError):
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / "made")
            name, content = "a.parquet", (tmp_path / "made").read_bytes()

    any_bytes.understand(any_bytes.rows(tmp_path, name, content))


PIECES = (
    '{"a": "\u2028"}'.encode(),
    *(b"\n", b"\r\n", b" ", b'{"a": ', b"1}", b"\xff", b"\xef\xbb\xbf", b"7", b"["),
)


@hypothesis.settings(max_examples=80, **SETTINGS)
@hypothesis.given(
    content=strategies.lists(strategies.sampled_from(PIECES), max_size=16).map(b"".join),
    size=strategies.integers(1, 40),
    packed=strategies.booleans(),
)
def test_pieces_give_the_rows_and_the_sentence_of_the_whole(tmp_path, content, size, packed):
    name = "a.jsonl.gz" if packed else "a.jsonl"
    (tmp_path / "x").write_bytes(gzip.compress(content, mtime=0) if packed else content)
    fetched = Fetched(source=any_bytes.SOURCE, field=any_bytes.FIELD, files=((tmp_path / "x", name),))

    whole = outcome(readers.read(tmp_path / "x", name))
    pieces = outcome(row for piece in chunks.chunks([fetched], tmp_path, size) for row in piece.rows())

    assert pieces == whole


def outcome(rows) -> list:
    """Rows up to the first error, and its sentence."""
    found = []
    try:
        found.extend(rows)
    except errors.AuthorError as error:
        return [*found, str(error)]
    return found

"""Whatever bytes a file has: rows, or a data error that names it. Never another exception."""

import csv
import gzip
import io
import json

import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies

from finetune_trainer import errors
from finetune_trainer.data import readers
from finetune_trainer.data.readers import json_rows

NAMES = ("a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.jsonl.gz", "a.json.zst", "a.csv.gz", "key")
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


def told(tmp_path, name: str, content: bytes) -> list:
    """The rows; or the sentence, once it is sure that it is one."""
    (tmp_path / "x").write_bytes(content)
    try:
        found = list(readers.read(tmp_path / "x", name))
    except (errors.InvalidRow, errors.InvalidFile) as error:
        sentence = str(error)
        assert sentence.startswith(name)
        assert sentence.isprintable() or all(
            one.isprintable() or one in "\u3000\xa0" or one > "~" for one in sentence
        )
        assert len(sentence) < 1_300
        if isinstance(error, errors.InvalidRow):
            assert any(f"{name} {unit} {n}" in sentence for unit in ("line", "row") for n in range(1, 2_000))
        return []
    for row in found:
        json.dumps(row.values, default=str, ensure_ascii=False).encode()
    return found


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
    name=strategies.sampled_from(NAMES),
    packed=strategies.booleans(),
)  # fmt: skip
def test_any_bytes_end_in_rows_or_in_a_data_error(tmp_path, name, content, packed):
    if packed and name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    elif packed and name.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)

    told(tmp_path, name, content)


@hypothesis.settings(max_examples=60, **SETTINGS)
@hypothesis.given(rows=ROWS, chunk=strategies.integers(1, 40), indent=strategies.sampled_from([None, 0, 2]))
def test_json_gives_back_what_was_written(tmp_path, rows, chunk, indent):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "CHUNK", chunk)
        text = json.dumps(rows, indent=indent, ensure_ascii=False)
        found = told(tmp_path, "a.json", text.encode())

    assert [row.values for row in found] == rows


@hypothesis.settings(max_examples=60, **SETTINGS)
@hypothesis.given(rows=ROWS, blank=strategies.lists(strategies.integers(0, 3), min_size=6, max_size=6))
def test_jsonl_gives_back_what_was_written_with_its_lines(tmp_path, rows, blank):
    lines, places = [], []
    for row, gap in zip(rows, blank, strict=False):
        lines += [""] * gap + [json.dumps(row, ensure_ascii=False)]
        places.append(len(lines))

    found = told(tmp_path, "a.jsonl", "\n".join(lines).encode())

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

    found = told(tmp_path, "a.csv", file.getvalue().encode())

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

    told(tmp_path, "a.parquet", bytes(content))

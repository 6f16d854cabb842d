"""What must hold of any input: rows or a sentence, and of any rows: a meaning or a sentence. For tests and for the fuzzer."""

import itertools
import json
import re
from pathlib import Path

from finetune_trainer import config, errors
from finetune_trainer.data import formats, readers
from finetune_trainer.data.columns import Columns
from finetune_trainer.data.rows import Row

NAMES = (
    "a.jsonl",
    "a.json",
    "a.csv",
    "a.tsv",
    "a.parquet",
    "a.jsonl.gz",
    "a.json.zst",
    "a.csv.gz",
    "key",
)
"""Names that lead to every reader."""
METHODS = tuple(formats.FITTING)
SPOT = re.compile(r" (line|row) [1-9][0-9]*\b")
LONGEST = 1_300
"""Characters of a sentence, at most."""
SOURCE = config.DataSource(uri="pvc://data/a")
FIELD = "spec.dataset.train[0]"


def rows(folder: Path, name: str, content: bytes, most: int = 500) -> list[Row]:
    """The first rows of a file that is called `name`; none where there is a sentence, which is judged."""
    path = folder / "file"
    path.write_bytes(content)
    try:
        found = list(itertools.islice(readers.read(path, name), most))
    except (errors.InvalidRow, errors.InvalidFile) as error:
        judge(error, name, spot=isinstance(error, errors.InvalidRow))
        return []
    for row in found:
        json.dumps(row.values, ensure_ascii=False, default=str).encode()
    return found


def understand(found: list[Row]) -> int:
    """Ask for the meaning of rows by each method, with and without a chat template; how many were understood."""
    understood = 0
    for method, chat in itertools.product(METHODS if found else (), (True, False)):
        try:
            name = formats.recognise(found[0], SOURCE, FIELD, method=method)
        except errors.AuthorError as error:
            judge(error, FIELD, spot=False)
            continue
        for row in found:
            try:
                example = formats.understand(
                    row, name, Columns.of(None), formats.loss_on(name, None, FIELD), chat=chat
                )
            except errors.AuthorError as error:
                judge(error, row.place.file, spot=True)
            else:
                assert len(example.key()) == len(example.words())
                understood += 1
    return understood


def judge(error: errors.AuthorError, begins: str, *, spot: bool) -> None:
    """Whether an error is told as people are owed: it begins with its place, on one line, and not without end."""
    sentence = str(error)
    assert sentence.startswith(begins), sentence
    assert not spot or SPOT.search(sentence), sentence
    assert len(sentence) <= LONGEST, len(sentence)
    assert not errors.UNSEEN.search(sentence), ascii(sentence)

"""Files of every shape that data comes in: each is recognised, and what its rows mean stands in the .txt beside it.

`python tests/unit/finetune_trainer/test_format_files.py` writes those texts anew, to be read before they are committed.
"""

import pathlib

import pyarrow as pa
import pyarrow.parquet
import pytest

import told_examples
from finetune_trainer import config
from finetune_trainer.data import meaning, readers
from finetune_trainer.data.rows import Continuation, Feedback, Preference

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "data" / "formats"
FIELD = "spec.dataset.train[0]"
FILES = {
    "messages.jsonl": ("SFT", "messages"),
    "messages-tools.jsonl": ("SFT", "messages"),
    "messages-tools-objects.jsonl": ("SFT", "messages"),
    "messages-parts.jsonl": ("SFT", "messages"),
    "messages-functions.jsonl": ("SFT", "messages"),
    "messages-table.csv": ("SFT", "messages"),
    "conversations.jsonl": ("SFT", "messages"),
    "sharegpt.jsonl": ("SFT", "sharegpt"),
    "sharegpt-tools.jsonl": ("SFT", "sharegpt"),
    "alpaca.jsonl": ("SFT", "alpaca"),
    "prompt-completion.jsonl": ("SFT", "prompt-completion"),
    "prompt-completion-turns.jsonl": ("SFT", "prompt-completion"),
    "text.jsonl": ("SFT", "text"),
    "preference.jsonl": ("DPO", "preference"),
    "pairs-table.csv": ("DPO", "preference"),
    "preference-turns.jsonl": ("DPO", "preference"),
    "preference-implicit.jsonl": ("ORPO", "preference"),
    "preference-scored.jsonl": ("DPO", "preference"),
    "preference-sharegpt.jsonl": ("DPO", "preference"),
    "preference-orca.jsonl": ("ORPO", "preference"),
    "preference-input.jsonl": ("DPO", "preference"),
    "preference-alpaca.jsonl": ("DPO", "preference"),
    "preference-openai.jsonl": ("DPO", "preference"),
    "unpaired.jsonl": ("KTO", "unpaired-preference"),
    "unpaired-turns.jsonl": ("KTO", "unpaired-preference"),
    "unpaired-messages.jsonl": ("KTO", "unpaired-preference"),
    "unpaired-sharegpt.jsonl": ("KTO", "unpaired-preference"),
    "unpaired-alpaca.jsonl": ("KTO", "unpaired-preference"),
    "unpaired-labels.csv": ("KTO", "unpaired-preference"),
}
"""File: a method that learns from it, and its format."""
IN_TABLES = [name for name in FILES if name.endswith(".jsonl")]


def understood(path: pathlib.Path, method: str, *, chat: bool = True):
    """The format of a file, and its examples."""
    run = config.Run.model_construct(method=method, training=config.Training())
    first, *others = readers.read(path, path.name)
    found = meaning.found(first, config.DataSource(uri=f"s3://b/{path.name}"), FIELD, run, chat=chat)
    return found.format, [found.example(row) for row in (first, *others)]


def text_of(path: pathlib.Path, method: str) -> str:
    return "\n\n".join(told_examples.told(example) for example in understood(path, method)[1]) + "\n"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognised_and_its_rows_are_understood(name):
    method, expected = FILES[name]
    found, _ = understood(FOLDER / name, method)

    assert found == expected
    assert text_of(FOLDER / name, method) == (FOLDER / name).with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", IN_TABLES)
def test_the_same_rows_in_parquet_mean_the_same(name, tmp_path):
    """Parquet gives every object the keys of all the others, null where it had none."""
    method, _ = FILES[name]
    rows = [row.values for row in readers.read(FOLDER / name, name)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(_even(rows)), tmp_path / "rows.parquet")

    assert text_of(tmp_path / "rows.parquet", method) == text_of(FOLDER / name, method)


def _even(rows: list[dict]) -> list[dict]:
    """The rows with all columns of any of them: `from_pylist` takes the first row's only."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]


def test_every_file_of_the_folder_is_tried():
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".txt"} == set(FILES)
    assert {path.stem for path in FOLDER.glob("*.txt")} == {pathlib.Path(name).stem for name in FILES}


@pytest.mark.parametrize("name", ["prompt-completion.jsonl", "preference.jsonl", "unpaired.jsonl"])
def test_texts_stay_texts_for_a_model_without_a_chat_template(name):
    _, examples = understood(FOLDER / name, FILES[name][0], chat=False)

    for example in examples:
        match example.content:
            case Preference(chosen, rejected):
                assert isinstance(chosen, Continuation)
                assert isinstance(rejected, Continuation)
                assert chosen.prompt == rejected.prompt
            case Feedback(answered, _):
                assert isinstance(answered, Continuation)
            case content:
                assert isinstance(content, Continuation)


def test_a_system_prompt_is_not_lost_where_texts_stay_texts():
    _, examples = understood(FOLDER / "prompt-completion.jsonl", "SFT", chat=False)

    assert examples[1].content == Continuation("한국어로 답하세요.\n\n한국의 수도는?", "서울입니다.")


if __name__ == "__main__":
    for name, (method, _) in FILES.items():
        (FOLDER / name).with_suffix(".txt").write_text(text_of(FOLDER / name, method), encoding="utf-8")

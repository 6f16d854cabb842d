"""docs/data-formats.md tells the truth: every JSON row on it is read, and becomes what the page says. So do the examples' rows."""

import json
import pathlib
import re

import pytest
import yaml

import told_examples
from finetune_trainer import config
from finetune_trainer.data import columns, formats, meaning, readers
from finetune_trainer.data.rows import Place, Row

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "data-formats.md").read_text(encoding="utf-8")
SHOWN = re.compile(
    r"<!-- (?P<method>\w+) (?P<format>[\w-]+) -->\n"
    r"(```yaml\n(?P<source>.*?)```\n)?"
    r"```json\n(?P<rows>.*?)```\nbecomes\n```text\n(?P<told>.*?)```\n",
    re.DOTALL,
)
CASES = {f"{at}-{shown['format']}": shown for at, shown in enumerate(SHOWN.finditer(PAGE))}
EXAMPLES = {
    "alpaca": "alpaca",
    "kto": "unpaired-preference",
    "messages-tools": "messages",
    "preference": "preference",
    "prompt-completion": "prompt-completion",
    "sharegpt": "sharegpt",
    "template": "template",
    "text": "text",
}
"""Name of an example: the format of its rows."""


def understood(rows: list[Row], source: config.DataSource, method: str):
    run = config.Run.model_construct(method=method, training=config.Training())
    found = meaning.found(rows[0], source, "spec.dataset.train[0]", run, chat=True)
    return found.format, [found.example(row) for row in rows]


@pytest.mark.parametrize("case", CASES)
def test_the_rows_of_the_page_become_what_it_says(case):
    shown = CASES[case]
    (settings,) = yaml.safe_load(shown["source"]) if shown["source"] else [{"uri": "s3://b/rows.jsonl"}]
    rows = [
        Row(Place("rows.jsonl", at), json.loads(line))
        for at, line in enumerate(shown["rows"].splitlines(), start=1)
    ]

    found, examples = understood(rows, config.DataSource.model_validate(settings), shown["method"])

    assert found == shown["format"]
    assert "\n\n".join(map(told_examples.told, examples)) == shown["told"].strip()
    assert len(rows) == 2


def test_no_row_of_the_page_is_left_out():
    assert len(CASES) == PAGE.count("```json") == PAGE.count("```text")
    assert {shown["format"] for shown in CASES.values()} == set(formats.DEFAULT_LOSS)


def test_methods_and_formats_stand_in_the_table():
    table = dict(re.findall(r"^\| (SFT|DPO|ORPO|KTO) \| (.*) \|$", PAGE, re.MULTILINE))

    assert {method: set(told.split(", ")) for method, told in table.items()} == {
        method: set(fitting) for method, fitting in formats.FITTING.items()
    }


def test_the_usual_names_of_columns_stand_in_the_table():
    table = re.findall(r"^\| `(\w+)` \| (`.*?`) \|", PAGE, re.MULTILINE)

    assert {part: tuple(re.findall(r"`(\w+)`", names)) for part, names in table} == columns.USUAL


def test_every_example_of_a_format_is_tried_and_told():
    there = {path.stem.removeprefix("format-") for path in (ROOT / "examples/jobs").glob("format-*.yaml")}

    assert there == set(EXAMPLES)
    assert all(f"examples/jobs/format-{name}.yaml" in PAGE for name in EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_rows_of_an_example_are_understood(name, tmp_path):
    given, job = yaml.safe_load_all((ROOT / f"examples/jobs/format-{name}.yaml").read_text(encoding="utf-8"))
    ((key, content),) = given["data"].items()
    (source,) = job["spec"]["dataset"]["train"]
    (tmp_path / key).write_text(content, encoding="utf-8")

    rows = list(readers.read(tmp_path / key, key))
    found, examples = understood(rows, config.DataSource.model_validate(source), job["spec"]["method"])

    assert source["uri"] == f"configmap://{given['metadata']['name']}/{key}"
    assert found == EXAMPLES[name]
    assert len({example.words() for example in examples}) == 12

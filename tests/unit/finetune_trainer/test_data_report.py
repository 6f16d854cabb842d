"""The data report: what a person and a program are told of the data."""

import ast
import dataclasses
import json
import re
from pathlib import Path

import pytest

from data_figures import GOOD, source
from finetune_trainer.data import deciding, filters, reading
from finetune_trainer.data.data_report import JSON, MARKDOWN, MAX_BYTES, DataReport
from finetune_trainer.prepared import Dropped

DROPPED = {
    "EmptyAnswer": Dropped(rows=150, places=("tickets.jsonl line 3", "tickets.jsonl line 17")),
    "ExactDuplicate": Dropped(rows=1, places=("tickets.jsonl line 9 (a copy of tickets.jsonl line 2)",)),
}


def report(figures=GOOD, dropped=None, advice=("Do less.",)) -> DataReport:
    return DataReport.of(figures, DROPPED if dropped is None else dropped, max_length=1024, advice=advice)


def test_the_page_says_it_all():
    page = report().markdown()

    assert page.startswith(
        "# Data report\n\n5,600 rows read: 5,000 to train on, 250 held out, 151 left out, 40 longer than 1,024 tokens.\n"
    )
    for line in (
        "- Do less.",
        "| train | s3://data/tickets.jsonl | messages | Assistant | 5,000 | 5,000 | 5,000 |",
        "| EmptyAnswer | 150 | an answer in it has no words |",
        "- tickets.jsonl line 17",
        "- and 148 more",
        "- tickets.jsonl line 9 (a copy of tickets.jsonl line 2)",
        "- tickets.jsonl line 4 (1100 tokens)",
        "| all | 300 | 300 | 300 | 300 | 300 | 300 | 300 | 300 | 300.0 |",
        "      257 to       512 tokens      5,000  ########################################",
    ):
        assert line in page.splitlines()


def test_the_document_can_be_read_back():
    made = report()

    assert DataReport.model_validate_json(made.files()[JSON]) == made
    told = json.loads(made.files()[JSON])
    assert (told["rowsRead"], told["dropped"]["EmptyAnswer"]["rows"], told["cut"]["rows"]) == (5600, 150, 40)


def test_where_nothing_is_wrong_nothing_is_listed():
    page = report(dataclasses.replace(GOOD, cut=0, cut_places=()), {}, ()).markdown()

    assert "Advice" not in page
    assert "Left out" not in page
    assert "Longer than maxLength" not in page


def test_it_stays_small_whatever_the_files_are_called():
    name = "ü" * 150
    places = tuple(f"{name} line {at} (a copy of {name} line 1)" for at in range(20))
    many = {reason: Dropped(rows=10**6, places=places) for reason in filters.REASONS}

    made = report(dropped=many)

    assert max(len(text.encode()) for text in made.files().values()) <= MAX_BYTES
    assert [one.rows for one in made.dropped.values()] == [10**6] * len(filters.REASONS)
    assert 0 < len(made.dropped["TooLong"].places) < 20


def test_names_of_files_break_no_table():
    odd = dataclasses.replace(GOOD, sources=(source("s3://data/a|b`c\n<b>*.jsonl"),))

    page = report(odd).markdown()

    assert (
        r"| train | s3://data/a\|b\`c \<b\>\*.jsonl | messages | Assistant | 5,000 | 5,000 | 5,000 |"
        in page.splitlines()
    )
    assert MARKDOWN in report(odd).files()


@pytest.mark.parametrize("module", [filters, deciding, reading], ids=lambda module: module.__name__)
def test_every_reason_of_the_code_is_explained(module):
    """Reasons are the only CamelCase words of two and more parts in these modules' texts; names in annotations are no texts."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    reasons = {text for text in texts if re.fullmatch(r"([A-Z][a-z]+){2,}", text)}

    assert reasons - {"DataReport"} <= set(filters.REASONS)


def test_the_docs_explain_every_reason_and_no_other():
    page = (Path(__file__).parents[3] / "docs/data-quality.md").read_text(encoding="utf-8")
    listed = page.partition("<!-- reasons -->\n")[2].partition("<!-- /reasons -->")[0]

    assert listed == "".join(f"| `{reason}` | {why} |\n" for reason, why in filters.REASONS.items())

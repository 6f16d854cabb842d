"""What a person reads when something fails: fields are called by their whole path, and nothing is only "invalid"."""

import ast
import re
from pathlib import Path

import pytest

from finetune_operator.api.job import FineTuneJobSpec

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    file
    for package in ("operator", "trainer-image", "cli")
    for file in (ROOT / package / "src").rglob("*.py")
)
PARTS = [field.alias or name for name, field in FineTuneJobSpec.model_fields.items()]
BARE = re.compile(rf"(?<![\w.])({'|'.join(PARTS)})\.[a-z][A-Za-z]+(?![\w(=])")
EMPTY = re.compile(r"\b(invalid|illegal|bad|failed to|unable to|oops|something went wrong)\b", re.IGNORECASE)


def sentences(file):
    """Line and text of every sentence that is raised; what is put in stands as `{}`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for given in node.exc.args:
                parts = given.values if isinstance(given, ast.JoinedStr) else [given]
                said = [one.value if isinstance(one, ast.Constant) else "{}" for one in parts]
                text = "".join(map(str, said))
                if " " in text:
                    yield node.lineno, text


ALL = [(f"{file.relative_to(ROOT)}:{line}", text) for file in SOURCES for line, text in sentences(file)]


def test_there_is_something_to_read():
    assert len(ALL) > 200


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [(BARE, "write spec. before the field"), (EMPTY, "say what is wrong, and what to do")],
    ids=["fields", "plain"],
)
def test_sentences(wrong, rule):
    assert [(where, text) for where, text in ALL if wrong.search(text)] == [], rule

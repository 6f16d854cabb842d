"""docs/storage.md names every key of a Secret that is read, and its examples are FineTuneJobs."""

import ast
import pathlib
import re

import pytest
import yaml

import contract_runs
from finetune_operator.api import sources
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.plan import not_yet
from finetune_trainer import errors
from finetune_trainer.storage import reference

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "storage.md").read_text()
KEY = re.compile(r"^(AWS|GOOGLE|STORAGE|AZURE|HF|HTTP)_[A-Z0-9_]+$")
DOCUMENTS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def read_by_the_trainer() -> set[str]:
    """Every name of a key that stands in the code of storage as a string."""
    folder = ROOT / "trainer-image" / "src" / "finetune_trainer" / "storage"
    nodes = (node for file in folder.glob("*.py") for node in ast.walk(ast.parse(file.read_text())))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if KEY.match(text)}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_of_keys_is_what_the_trainer_reads():
    told = {key for row in rows("Keys") for key in re.findall(r"`([A-Z0-9_]+)`", row[0])}

    assert told == read_by_the_trainer()


def test_every_scheme_has_its_row():
    table = {match[1]: line for line in PAGE.splitlines() if (match := re.match(r"\| \[`(\w+)://", line))}

    assert set(table) | {"file", "http"} == set(reference.SCHEMES)
    for scheme, line in table.items():
        model, data, output = (cell.strip() != "" for cell in line.strip("|").split("|")[1:4])
        assert model == (scheme in sources.MODEL_SCHEMES)
        assert data == (scheme in sources.DATA_SCHEMES)
        assert output == (scheme in sources.OUTPUT_SCHEMES)


def test_the_reasons_are_reasons():
    for row in rows("When it fails"):
        for reason in re.findall(r"`(\w+)`", row[0]):
            assert issubclass(getattr(errors, reason), errors.TrainerError)


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if "kind" not in one])
def test_an_example_is_accepted(document):
    spec = FineTuneJobSpec.model_validate({**contract_runs.SHORTEST, **document["spec"]})

    not_yet.check(spec, FineTuneProfileSpec(), "default")


def test_the_secrets_and_profiles_of_the_examples_are_right():
    for document in DOCUMENTS:
        if document.get("kind") == "Secret":
            assert set(document["stringData"]) <= read_by_the_trainer()
        if document.get("kind") == "FineTuneProfile":
            FineTuneProfileSpec.model_validate(document["spec"])
    assert {document.get("kind") for document in DOCUMENTS} == {None, "Secret", "FineTuneProfile"}

"""What a person reads: fields are called by their whole path, a thing has one name, and an error says what to do."""

import re

import click
import pytest

import reasons_page
import sentences
from finetune_operator.api.job import FineTuneJobSpec
from kubectl_finetune import command

PARTS = [field.alias or name for name, field in FineTuneJobSpec.model_fields.items()]
BARE = re.compile(rf"(?<![\w./])({'|'.join(PARTS)})\.(?!safetensors)[a-z][A-Za-z]+(?![\w(=])")
EMPTY = re.compile(
    r"\b(invalid|illegal|bad (?:value|input|request)|failed to|unable to|oops|something went wrong|please try)\b",
    re.IGNORECASE,
)
PREFIX = re.compile(r"^(error|warning|note):", re.IGNORECASE)
TWO_NAMES = {
    r"\bpaused\b": "suspend",
    r"\bdropped\b": "left out",
    r"\banew\b": "again",
    r"\bput right\b": "correct",
    r"^ranks? |\b(the|another) ranks?\b": "training process: a rank is LoRA's",
    r"\bmust be said\b|\bif not said\b": "must be set; a flag is given",
    r"(?<!is )\btried again\b": "it is tried again",
    r"\b(is|are) no (valid|Jinja|JSON|YAML|text|number|digest)\b": "is not",
    r"\bwithout a word\b": "did not say why",
    r"\bthe accelerator's memory\b": "the GPU's memory",
    r"\b(directory|directories)\b": "folder",
    r"\b(datapoint|sample row|training example)s?\b": "row",
    r"\b(fine-tuning job|tuning job)\b": "FineTuneJob, or job",
}
"""What is not said, and what is said in its place."""
OF_FLAGS = re.compile(r"=(?:\{|\w)|^Change |^Any field")
"""`--set training.epochs=2` leaves `spec.` out."""
NOTHING_TO_DO = {"InternalError", "Interrupted", "NotThere", "WaitingForJob"}
"""Errors whose author has nothing to do, or whose sentence quotes another program's."""


def said():
    """Where, and what, of everything but the flags' help."""
    return [(one.where, one.text) for one in sentences.collected() if not OF_FLAGS.search(one.text)]


def test_there_is_something_to_read():
    found = sentences.collected()
    assert len(found) > 1000
    assert len([one for one in found if one.error]) > 250
    for part in ("operator/", "trainer-image/", "cli/", "charts/"):
        assert any(one.where.startswith(part) for one in found)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (BARE, "write spec. before the field"),
        (EMPTY, "say what is wrong, and what to do"),
        (PREFIX, "the sentence itself, without a label"),
    ],
    ids=["fields", "plain", "label"],
)
def test_sentences(wrong, rule):
    assert [(where, text) for where, text in said() if wrong.search(text)] == [], rule


@pytest.mark.parametrize("wrong", TWO_NAMES)
def test_a_thing_has_one_name(wrong):
    assert [(where, text) for where, text in said() if re.search(wrong, text)] == [], TWO_NAMES[wrong]


def test_an_error_says_what_to_do():
    """Behind a semicolon; where the sentence ends with what is put in, that says it."""
    found = [one for one in sentences.collected() if one.error and one.error not in NOTHING_TO_DO]
    assert [
        (one.where, one.text) for one in found if ";" not in one.text and not one.text.endswith("{}")
    ] == []


def test_an_error_is_one_sentence_without_a_full_stop():
    found = [(one.where, one.text) for one in sentences.collected() if one.error]
    assert [
        (where, text) for where, text in found if text.endswith(".") or re.search(r"[a-z]\. [A-Z]", text)
    ] == []


def test_an_error_begins_with_what_is_wrong():
    """A field, a file, a name or a small letter."""
    found = [(one.where, one.text) for one in sentences.collected() if one.error]
    assert [(where, text) for where, text in found if re.match(r"[A-Z][a-z]+ [a-z]", text)] == []


def test_every_flag_and_command_is_told_in_a_sentence():
    commands = {"": command.program, **command.program.commands}
    told = {
        f"{name} {one.name}": one.help
        for name, found in commands.items()
        for one in found.params
        if isinstance(one, click.Option)
    } | {name: found.help for name, found in commands.items()}
    assert len(told) > 60
    assert {name: said for name, said in told.items() if not (said or "").strip().endswith(".")} == {}


def test_alerts_are_sentences():
    text = (sentences.CHART / "files" / "alerts.yaml").read_text()
    told = re.findall(r"^ +(?:summary|description): (.+)$", text, re.MULTILINE)
    assert len(told) > 15
    assert [one for one in told if not one.rstrip('"').endswith(".")] == []


def test_what_reasons_mean_and_ask_for_names_fields_by_their_whole_path():
    meanings = [meaning for _, meaning in reasons_page.trainer_reasons().values()]
    assert [one for one in meanings if BARE.search(one)] == []

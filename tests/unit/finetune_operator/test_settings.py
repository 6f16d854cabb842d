"""The environment, read once; and the page of reasons."""

import pathlib
import re

import pydantic
import pytest

from finetune_operator import settings
from finetune_operator.errors import page
from finetune_operator.errors.reasons import Reason

IMAGE = {"FINETUNE_TRAINER_IMAGE": "registry/trainer:1"}


def read(**given):
    return settings.from_environment({**IMAGE, **given}, identity="pod-1")


def test_what_is_not_said_has_a_default_and_what_is_not_ours_is_left_alone():
    found = read(FINETUNE_OPERATOR_SERVICE_HOST="10.0.0.1", FINETUNE_WORKERS="")
    assert (found.workers, found.identity, found.namespaces) == (16, "pod-1", ())


def test_namespaces_are_listed_with_commas():
    assert read(FINETUNE_NAMESPACES="team-a, team-b").namespaces == ("team-a", "team-b")


HELP = "; finetune-operator --help says what belongs there"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"FINETUNE_WORKERS": "0"},
            f"FINETUNE_WORKERS is '0': input should be greater than or equal to 1{HELP}",
        ),
        (
            {"FINETUNE_LOG_FORMAT": "xml"},
            f"FINETUNE_LOG_FORMAT is 'xml': input should be 'json' or 'text'{HELP}",
        ),
        (
            {"FINETUNE_RENEW_DEADLINE": "20"},
            "FINETUNE_RETRY_PERIOD must be below FINETUNE_RENEW_DEADLINE, and that below FINETUNE_LEASE_DURATION",
        ),
        ({"FINETUNE_TRAINER_IMAGE": ""}, f"FINETUNE_TRAINER_IMAGE is not set{HELP}"),
    ],
)
def test_what_cannot_be_is_refused_at_start_with_a_sentence(given, sentence):
    with pytest.raises(pydantic.ValidationError) as refused:
        read(**given)
    assert settings.refusals(refused.value) == [sentence]


def test_every_setting_is_in_the_table():
    told = settings.__doc__
    for name in settings.Settings.model_fields:
        assert re.search(rf"_{name.upper()}\b", told), name


def test_the_page_of_reasons_is_current():
    path = pathlib.Path(__file__).parents[3] / "docs" / "reasons.md"
    text = path.read_text()
    assert page.with_table(text) == text, (
        "run: python -m finetune_operator.errors.page --write docs/reasons.md"
    )


def test_reasons_are_words():
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", one.value) and one.meaning.endswith(".") for one in Reason)

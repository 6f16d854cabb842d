"""The gate's grammar on both sides: what the API server lets through, Prepare reads, but for parentheses that do not balance."""

import re

import pytest

from finetune_operator.api import recipe
from finetune_trainer import errors, gate

BOTH_TAKE = (
    "tuned.loss < base.loss",
    "tuned.loss<base.loss",
    "tuned.loss <= 0.9 * base.loss",
    "tuned.rougeL - base.rougeL >= 0.05",
    "(tuned.rouge1 + tuned.rouge2) / 2 > .2",
    "  -tuned.loss > - ( base.loss + 1e-3 ) ",
    "2. * tuned.loss < base.loss",
    "((tuned.loss)) < 3",
    "tuned.boolqAccNorm >= base.boolqAccNorm",
)
BOTH_REFUSE = (
    "",
    "tuned.loss",
    "tuned.loss <",
    "< 2",
    "tuned.loss == 2",
    "tuned.loss != 2",
    "tuned.loss => 2",
    "1 < tuned.loss < 2",
    "loss < 2",
    "best.loss < 2",
    "tuned.other.loss < 2",
    "tuned.loss ** 2 < 2",
    "tuned.loss % 2 < 2",
    "tuned.loss < 2 and tuned.loss > 1",
    "tuned.loss < 'a'",
    "tuned.loss < max(1, 2)",
    "tuned['loss'] < 1",
    "tuned.loss < __import__('os')",
    "tuned.loss < 1; 2",
)
PREPARE_REFUSES = ("(tuned.loss < 2", "tuned.loss) < 2", "1 < 2", "tuned.loss < 007")


def api_server_takes(text: str) -> bool:
    """The rule is one of CEL, whose expressions are RE2's: a part of Python's."""
    return re.search(recipe.GATE, text) is not None


def prepare_takes(text: str) -> bool:
    try:
        gate.parse(text, field="spec.evaluation.gate[0]")
    except errors.InvalidGate:
        return False
    return True


@pytest.mark.parametrize("text", BOTH_TAKE)
def test_both_take_a_comparison(text):
    assert api_server_takes(text)
    assert prepare_takes(text)


@pytest.mark.parametrize("text", BOTH_REFUSE)
def test_both_refuse_what_is_none(text):
    assert not api_server_takes(text)
    assert not prepare_takes(text)


@pytest.mark.parametrize("text", PREPARE_REFUSES)
def test_what_a_regular_expression_cannot_see_prepare_does(text):
    assert api_server_takes(text)
    assert not prepare_takes(text)

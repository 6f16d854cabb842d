"""What is not supported yet is refused by both sides under the same field's name; the operator says so first."""

import re
from typing import Any

import pytest

import contract_runs
from finetune_operator import errors as operator_errors
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.plan import not_yet as operator_side
from finetune_trainer import config
from finetune_trainer import errors as trainer_errors
from finetune_trainer import not_yet as trainer_side

FULLEST = contract_runs.FULLEST
SAID = {
    "spec.model.uri": {"model": {"uri": "oci://registry/model"}},
    "spec.model.trustRemoteCode": {"model": {"uri": "hf://a/b", "trustRemoteCode": True}},
}
"""Field: a spec that asks for it."""


def operators_field(spec: dict[str, Any]) -> str:
    with pytest.raises(operator_errors.NotYetSupported) as refused:
        operator_side.check(FineTuneJobSpec.model_validate(spec), FineTuneProfileSpec(), "default")
    return re.split(r":? ", str(refused.value))[0]


def trainers_field(spec: dict[str, Any]) -> str:
    run = config.Run.model_validate(contract_runs.run(spec))
    with pytest.raises(trainer_errors.NotYetSupported) as refused:
        trainer_side.check(run)
    return str(refused.value).split(" ")[0]


@pytest.mark.parametrize("field", SAID)
def test_both_sides_refuse_it_by_its_name(field):
    spec = {**contract_runs.SHORTEST, **SAID[field]}

    assert operators_field(spec) == field
    assert trainers_field(spec) == field


def test_every_refusal_of_the_trainer_is_tried_here():
    run = config.Run.model_validate(contract_runs.run(FULLEST))

    assert {field for field, _, _ in trainer_side._job(run)} == set(SAID)


def test_what_was_written_is_in_the_sentence():
    spec = FineTuneJobSpec.model_validate(
        {**contract_runs.SHORTEST, "model": {"uri": "oci://registry/model"}}
    )

    with pytest.raises(
        operator_errors.NotYetSupported,
        match=r"^spec\.model\.uri: oci://registry/model is not supported yet; hf://",
    ):
        operator_side.check(spec, FineTuneProfileSpec(), "default")

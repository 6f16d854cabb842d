"""Modules that are trained whole beside the adapter: PEFT ignores names that the model lacks, Prepare does not."""

import pytest

import trainer_tiny_model
from finetune_trainer import errors, inspection


@pytest.fixture(scope="module")
def found() -> inspection.Architecture:
    return inspection.architecture(trainer_tiny_model.folder())


@pytest.mark.parametrize("names", [(), ("embed_tokens",), ("lm_head", "embed_tokens"), ("norm",)])
def test_modules_of_the_model_can_be_saved(found, names):
    inspection.check_saved(names, found.linear, found)


def test_a_module_that_the_model_lacks_is_told(found):
    with pytest.raises(
        errors.TargetModulesNotFound,
        match=r"^spec\.tuning\.lora\.modulesToSave: the model has no module 'wte'; name one that it has, .*embed_tokens",
    ):
        inspection.check_saved(("embed_tokens", "wte"), found.linear, found)


def test_a_module_cannot_have_an_adapter_and_be_trained_whole(found):
    with pytest.raises(
        errors.TargetModulesNotFound, match=r"q_proj is to be trained whole, and q_proj is to get an"
    ):
        inspection.check_saved(("q_proj",), ("k_proj", "q_proj"), found)

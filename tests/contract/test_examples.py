"""Every example is accepted: by the API, by what is supported today, and by the trainer that would run it."""

import pytest

import examples
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.plan import not_yet

FOUND = dict(examples.found())


def test_the_readme_and_the_demo_are_among_them():
    assert {"README.md:support-bot", "examples/demo/finetunejob.yaml:doc-titles"} <= set(FOUND)


@pytest.mark.parametrize("where", FOUND)
def test_an_example_is_accepted(where):
    example = FOUND[where]

    if example["kind"] == "FineTuneProfile":
        FineTuneProfileSpec.model_validate(example["spec"])
    else:
        spec = FineTuneJobSpec.model_validate(example["spec"])
        not_yet.check(spec, FineTuneProfileSpec(), "default")

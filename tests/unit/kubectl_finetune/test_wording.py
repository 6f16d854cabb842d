"""What is wrong with a spec, told to its author: by the field's path, in words."""

import copy

import pytest

from kubectl_finetune import errors
from kubectl_finetune.job import manifest

SPEC = {
    "model": {"uri": "hf://Qwen/Qwen3-0.6B"},
    "dataset": {"train": [{"uri": "s3://team-a/t.jsonl"}]},
    "output": {"uri": "s3://team-a/out"},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "PPO"}, 'spec.method: must be SFT, DPO, ORPO or KTO, not "PPO"'),
        ({"training": 3}, "spec.training: must be a mapping of fields, not 3"),
        ({"training": {"epochs": "many"}}, 'spec.training.epochs: must be a number, not "many"'),
        ({"training": {"epochs": -1}}, "spec.training.epochs: must be greater than 0, not -1"),
        ({"training": {"maxSteps": 1.5}}, "spec.training.maxSteps: must be a whole number, not 1.5"),
        ({"training": {"packing": "maybe"}}, 'spec.training.packing: must be true or false, not "maybe"'),
        ({"training": {"microBatchSize": "two"}}, 'spec.training.microBatchSize: must be a whole number or Auto, not "two"'),
        ({"training": {"learning_rate": 0.1}}, "spec.training.learning_rate: there is no such field; did you mean learningRate?"),
        ({"training": {"epoch": 2}}, "spec.training.epoch: there is no such field; did you mean epochs?"),
        ({"training": {"zzz": 2}}, "spec.training.zzz: there is no such field; leave it out"),
        ({"resources": {"memory": "16GB"}},
         'spec.resources.memory: must be a quantity as Kubernetes writes it, for example 500m, 4, 16Gi or 16G, not "16GB"'),
        ({"resources": {"gpuResource": "gpu"}},
         'spec.resources.gpuResource: must be the name of a resource with a slash, for example nvidia.com/gpu, not "gpu"'),
        ({"output": {"uri": "s3://a/b", "hub": {"repo": "bot"}}},
         'spec.output.hub.repo: must be org/name, for example my-team/support-bot, not "bot"'),
        ({"profile": "Team A"},
         "spec.profile: must hold only a-z, 0-9, '-' and '.', and begin and end with a letter or digit, not \"Team A\""),
        ({"resources": {"gpusPerNode": -1}}, "spec.resources.gpusPerNode: must be at least 0, not -1"),
        ({"dataset": {"train": "s3://a/b"}}, 'spec.dataset.train: must be a list, not "s3://a/b"'),
        ({"dataset": {"train": []}}, "spec.dataset.train: must have at least 1 entry"),
        ({"dataset": {"train": [{"uri": "s3://a/b", "template": [{"prompt": 3, "completion": "x"}]}]}},
         "spec.dataset.train[0].template[0].prompt: must be a text, not 3; put it in quotes"),
        ({"evaluation": {"samples": ["x"] * 99}}, "spec.evaluation.samples: must have at most 64 entries, and has 99"),
        ({"evaluation": {"maxNewTokens": 99999}}, "spec.evaluation.maxNewTokens: must be at most 4096, not 99999"),
        ({"scheduling": {"nodeSelector": {"disk": 3}}},
         "spec.scheduling.nodeSelector.disk: must be a text, not 3; put it in quotes"),
        ({"model": None}, "spec.model: must be a mapping of fields, not null"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words(change, said):
    with pytest.raises(errors.Mistake) as told:
        manifest.checked(manifest.of("bot", {**copy.deepcopy(SPEC), **change}))

    assert str(told.value) == said


@pytest.mark.parametrize(
    "text",
    [
        "kind: FineTuneJob\nspec: &a {b: *a}\n",
        f"kind: FineTuneJob\nspec: {'9' * 5000}\n",
        f"spec: {'[' * 5000}\n",
    ],
    ids=["itself", "digits", "deep"],
)
def test_yaml_that_no_job_can_be_is_a_mistake(text):
    with pytest.raises(errors.Mistake, match=r"^job\.yaml: this YAML holds what no FineTuneJob can"):
        manifest.parsed(text, "job.yaml")


def test_what_looks_like_a_date_is_a_text():
    text = "kind: FineTuneJob\nmetadata: {labels: {since: 2024-13-45, on: 2024-01-02}}\n"

    assert manifest.parsed(text, "job.yaml")["metadata"]["labels"] == {
        "since": "2024-13-45",
        True: "2024-01-02",
    }


def test_a_long_value_is_not_repeated_whole():
    with pytest.raises(errors.Mistake) as told:
        manifest.checked(manifest.of("bot", {**SPEC, "training": {"epochs": "x" * 500}}))

    assert len(str(told.value)) < 120


@pytest.mark.parametrize("text", ["kind: FineTuneJob\nmetadata:\nspec:\n", "kind: FineTuneJob\n"])
def test_an_empty_part_is_missing_and_nothing_worse(text):
    with pytest.raises(errors.Mistake) as told:
        manifest.checked(manifest.parsed(text, "job.yaml"))

    assert "metadata.name: must be set" in str(told.value)
    assert "spec.model: must be set" in str(told.value)

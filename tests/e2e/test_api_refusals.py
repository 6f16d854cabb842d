"""What `kubectl apply` says, word for word, to a FineTuneJob that cannot be: no operator, no pod, no wait."""

from collections.abc import Iterator
from typing import Any

import pytest

import real_cluster
from finetune_operator.api import schema
from finetune_operator.api.job import FineTuneJobSpec

CANNOT_CHANGE = (
    "this field cannot change once the job is created; to run the job with another value, apply it under a new "
    "metadata.name"
)
INVALID = 'The FineTuneJob "support-bot" is invalid: '
STRICT = (
    'Error from server (BadRequest): error when creating "STDIN": FineTuneJob in version "v1alpha1" cannot be handled as a '
    "FineTuneJob: strict decoding error: unknown field "
)
BERTSCORE = (
    "spec.evaluation: Invalid value: the metric bertscore and the field bertScore belong together: name the scoring model in "
    "bertScore.model.uri, or leave both out"
)
SOURCE = {"uri": "s3://team-a/tickets.jsonl"}
TASK = {"name": "quiz", "data": {"uri": "s3://team-a/quiz.jsonl"}, "prompt": "{question}", "target": "answer"}
OUTPUT = {"uri": "s3://team-a/adapters/support-bot"}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"modle": {"uri": "hf://a/b"}}, STRICT + '"spec.modle"'),
    "an unknown field deep inside": (
        {"tuning": {"lora": {"r": 8}}},
        STRICT + '"spec.tuning.lora.r"',
    ),
    "a reference with a namespace": (
        {"output": OUTPUT | {"credentialsSecretRef": {"name": "bucket", "namespace": "team-b"}}},
        STRICT + '"spec.output.credentialsSecretRef.namespace"',
    ),
    "a job of another namespace": (
        {"checkpoint": {"resumeFrom": {"jobRef": {"name": "a", "namespace": "team-b"}}}},
        STRICT + '"spec.checkpoint.resumeFrom.jobRef.namespace"',
    ),
    "both epochs and maxSteps": (
        {"training": {"epochs": 1, "maxSteps": 10}},
        INVALID
        + "spec.training: Invalid value: set epochs or maxSteps, not both: epochs counts passes over the data, "
        "maxSteps counts optimiser steps",
    ),
    "a topology that is both required and preferred": (
        {"scheduling": {"topology": {"required": "rack", "preferred": "rack"}}},
        INVALID + "spec.scheduling.topology: Invalid value: set exactly one of required and preferred",
    ),
    "a model of an unknown scheme": (
        {"model": {"uri": "ftp://host/model"}},
        INVALID
        + 'spec.model.uri: Invalid value: "ftp://host/model": must be a URI that starts with one of: hf://, s3://, '
        "gs://, az://, pvc://",
    ),
    "data of an unknown scheme": (
        {"dataset": {"train": [SOURCE, {"uri": "/data/tickets.jsonl"}]}},
        INVALID
        + 'spec.dataset.train[1].uri: Invalid value: "/data/tickets.jsonl": must be a URI that starts with one of: '
        "hf://, s3://, gs://, az://, pvc://, configmap://, https://, http://",
    ),
    "a template beside columns": (
        {
            "dataset": {
                "train": [
                    SOURCE
                    | {"template": [{"prompt": "{a}", "completion": "{b}"}], "columns": {"prompt": "a"}}
                ]
            }
        },
        INVALID
        + "spec.dataset.train[0]: Invalid value: template names the columns itself; leave out format and columns",
    ),
    "a name that is a path": (
        {"profile": "team/a"},
        INVALID
        + "spec.profile: Invalid value: \"team/a\": must hold only a-z, 0-9, '-' and '.', and begin and end with a letter "
        "or digit",
    ),
    "another job's name that no job can have": (
        {"checkpoint": {"resumeFrom": {"jobRef": {"name": "1st"}}}},
        INVALID
        + "spec.checkpoint.resumeFrom.jobRef.name: Invalid value: \"1st\": must hold only a-z, 0-9 and '-', begin with a "
        "letter and end with a letter or digit",
    ),
    "memory in a unit that is none of Kubernetes": (
        {"resources": {"memory": "16GB"}},
        INVALID
        + 'spec.resources.memory: Invalid value: "16GB": must be a quantity as Kubernetes writes it, for '
        "example 500m, 4, 16Gi or 16G",
    ),
    "a GPU resource without its vendor": (
        {"resources": {"gpuResource": "gpu"}},
        INVALID
        + 'spec.resources.gpuResource: Invalid value: "gpu": must be the name of a resource with a slash, for example '
        "nvidia.com/gpu",
    ),
    "a repository without its owner": (
        {"output": OUTPUT | {"hub": {"repo": "support-bot"}}},
        INVALID
        + 'spec.output.hub.repo: Invalid value: "support-bot": must be org/name, for example my-team/support-bot',
    ),
    "a task's name with a hyphen": (
        {"evaluation": {"tasks": [TASK | {"name": "my-quiz", "generate": {}}]}},
        INVALID
        + 'spec.evaluation.tasks[0].name: Invalid value: "my-quiz": must hold only letters and digits, and begin with a small '
        "letter",
    ),
    "held-out rows with a weight": (
        {"dataset": {"train": [SOURCE], "eval": [SOURCE | {"weight": 2}]}},
        INVALID
        + "spec.dataset: Invalid value: held-out rows are never weighted; weight belongs to the sources of train",
    ),
    "an output on the Hub": (
        {"output": {"uri": "hf://org/name"}},
        INVALID
        + 'spec.output.uri: Invalid value: "hf://org/name": must be a URI that starts with one of: s3://, gs://, '
        "az://, pvc://",
    ),
    "no data at all": (
        {"dataset": {"train": []}},
        INVALID
        + "spec.dataset.train: Invalid value: 0: spec.dataset.train in body should have at least 1 items",
    ),
    "a micro-batch in words": (
        {"training": {"microBatchSize": "few"}},
        INVALID
        + 'spec.training.microBatchSize: Invalid value: "few": must be Auto or a whole number of rows from 1 to 65536',
    ),
    "an adapter from two places": (
        {"model": {"uri": "hf://a/b", "adapterFrom": {"uri": "hf://a/c", "jobRef": {"name": "d"}}}},
        INVALID + "spec.model.adapterFrom: Invalid value: set exactly one of jobRef and uri",
    ),
    "two rhythms of checkpoints": (
        {"checkpoint": {"everyMinutes": 5, "everySteps": 10}},
        INVALID + "spec.checkpoint: Invalid value: set everyMinutes or everySteps, not both",
    ),
    "a gate that compares nothing": (
        {"evaluation": {"gate": ["tuned.loss"]}},
        INVALID
        + 'spec.evaluation.gate[0]: Invalid value: "tuned.loss": must be one comparison of figures of base and tuned, for '
        "example: tuned.loss < 0.9 * base.loss",
    ),
    "BERTScore without a model that scores": (
        {"evaluation": {"metrics": ["bertscore"]}},
        INVALID + BERTSCORE,
    ),
    "a model that scores, and no BERTScore": (
        {"evaluation": {"bertScore": {"model": {"uri": "hf://a/b"}}}},
        INVALID + BERTSCORE,
    ),
    "a task with two kinds of answers": (
        {"evaluation": {"tasks": [TASK | {"multipleChoice": {"choices": ["no", "yes"]}, "generate": {}}]}},
        INVALID + "spec.evaluation.tasks[0]: Invalid value: set exactly one of multipleChoice and generate",
    ),
    "choices from two places": (
        {
            "evaluation": {
                "tasks": [TASK | {"multipleChoice": {"choices": ["no", "yes"], "choicesColumn": "a"}}]
            }
        },
        INVALID
        + "spec.evaluation.tasks[0].multipleChoice: Invalid value: set exactly one of choices and choicesColumn",
    ),
    "W&B without a key": (
        {"tracking": {"wandb": {"project": "p"}}},
        INVALID
        + "spec.tracking.wandb.credentialsSecretRef: Required value: name the Secret with WANDB_API_KEY, or set mode to Offline",
    ),
    "W&B offline, and a server": (
        {"tracking": {"wandb": {"project": "p", "mode": "Offline", "baseUrl": "https://wandb.example"}}},
        INVALID
        + "spec.tracking.wandb: Invalid value: leave out credentialsSecretRef and baseUrl; with mode Offline no server is "
        "contacted",
    ),
    "a tracker's files in the pod": (
        {"tracking": {"mlflow": {"trackingUri": "file:///scratch/mlruns"}}},
        INVALID
        + 'spec.tracking.mlflow.trackingUri: Invalid value: "file:///scratch/mlruns": must be an http:// or https:// address '
        "without a user or password; put those into the Secret of credentialsSecretRef",
    ),
    "a tracker's password in its address": (
        {"tracking": {"mlflow": {"trackingUri": "https://me:secret@mlflow.example"}}},
        INVALID
        + 'spec.tracking.mlflow.trackingUri: Invalid value: "https://me:secret@mlflow.example": must be an http:// or https:// '
        "address without a user or password; put those into the Secret of credentialsSecretRef",
    ),
}

CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "profile": ({"profile": "other"}, CANNOT_CHANGE),
    "model": ({"model": {"uri": "hf://Qwen/Qwen3-1.7B"}}, CANNOT_CHANGE),
    "dataset": ({"dataset": {"train": [SOURCE, SOURCE]}}, CANNOT_CHANGE),
    "output": ({"output": OUTPUT}, CANNOT_CHANGE),
    "tuning": ({"tuning": {"lora": {"rank": 8}}}, CANNOT_CHANGE),
    "training": ({"training": {"learningRate": 0.001}}, CANNOT_CHANGE),
    "evaluation": ({"evaluation": {"samples": ["Hello?"]}}, CANNOT_CHANGE),
    "checkpoint": ({"checkpoint": {"keep": 3}}, CANNOT_CHANGE),
    "resources": ({"resources": {"gpusPerNode": 8}}, CANNOT_CHANGE),
    "tracking": ({"tracking": {"tensorboard": {}}}, CANNOT_CHANGE),
    "method": ({"method": "DPO"}, CANNOT_CHANGE),
    "serviceAccountName": ({"serviceAccountName": "other"}, CANNOT_CHANGE),
    "runPolicy.maxAttempts": ({"runPolicy": {"suspend": True, "maxAttempts": 9}}, CANNOT_CHANGE),
}


@pytest.fixture(scope="module")
def api():
    return real_cluster.api_server()


@pytest.fixture(scope="module")
def place(api):
    with api.fresh_namespace() as name:
        yield name


@pytest.mark.parametrize("title", REFUSED)
def test_refused(api, place, title):
    spec, sentence = REFUSED[title]
    assert api.refusal(real_cluster.finetunejob(place, **spec)) == sentence


def test_every_rule_of_the_spec_has_its_line_here():
    told = " ".join(sentence for _, sentence in REFUSED.values())
    rules = list(_rules(schema.structural(FineTuneJobSpec)))
    assert len(rules) > 10
    assert [
        rule["message"] for rule in rules if "oldSelf" not in rule["rule"] and rule["message"] not in told
    ] == []


def _rules(node: Any) -> Iterator[dict[str, str]]:
    """All CEL rules of a schema."""
    if isinstance(node, dict):
        yield from node.get("x-kubernetes-validations", ())
        node = node.values()
    for part in node if not isinstance(node, str | int | float | None) else ():
        yield from _rules(part)


def test_an_unknown_method_is_answered_with_the_known_ones(api, place):
    said = api.refusal(real_cluster.finetunejob(place, method="PPO"))
    assert 'spec.method: Unsupported value: "PPO": supported values: "SFT", "DPO", "ORPO", "KTO"' in said


@pytest.mark.parametrize("field", ["model", "dataset", "output"])
def test_what_is_required_is_named(api, place, field):
    job = real_cluster.finetunejob(place)
    del job["spec"][field]
    assert f"spec.{field}: Required value" in api.refusal(job)


def test_a_name_of_41_characters(api, place):
    name = "a" * 41
    assert api.refusal(real_cluster.finetunejob(place, name)) == (
        f'The FineTuneJob "{name}" is invalid: metadata.name: Invalid value: must be at most 40 characters long: the names of '
        "its Jobs and pods are made from it"
    )


@pytest.mark.parametrize("name", ["1st", "v1.5"])
def test_a_name_that_no_host_can_have(api, place, name):
    assert api.refusal(real_cluster.finetunejob(place, name)) == (
        f"The FineTuneJob \"{name}\" is invalid: metadata.name: Invalid value: must hold only a-z, 0-9 and '-', "
        "begin with a letter and end with a letter or digit: host names are made from it"
    )


def test_all_that_is_wrong_is_told_at_once(api, place):
    near = {"topology": {"required": "rack", "preferred": "rack"}}
    spec = {"training": {"epochs": 1, "maxSteps": 1}, "scheduling": near}
    said = api.refusal(real_cluster.finetunejob(place, **spec))
    assert "* spec.training: " in said
    assert "* spec.scheduling.topology: " in said


@pytest.fixture(scope="module")
def there(api, place):
    """A job that stands, with something in the field that has no schema."""
    job = real_cluster.finetunejob(place, "there", training={"extra": {"a": {"b": [1, 2.5, "c"]}}})
    api.apply(job)
    return job


@pytest.mark.parametrize("field", CHANGED)
def test_a_changed_spec_names_the_field_and_the_way_out(api, there, field):
    change, sentence = CHANGED[field]
    changed = {**there, "spec": {**there["spec"], **change}}
    assert api.refusal(changed) == f'The FineTuneJob "there" is invalid: spec.{field}: Forbidden: {sentence}'


def test_every_field_of_the_spec_has_its_line_here(api):
    fields = api.get("crd", "finetunejobs.finetune.dev")["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
        "properties"
    ]
    assert {name.split(".")[0] for name in CHANGED} == set(fields["spec"]["properties"]) - {"scheduling"}


def test_queue_and_priority_change_only_while_suspended(api, place):
    running = {"runPolicy": {"suspend": False}}
    name = "queued"
    api.apply(real_cluster.finetunejob(place, name, scheduling={"queueName": "a"}))
    assert api.apply(real_cluster.finetunejob(place, name, scheduling={"queueName": "b"})).endswith(
        "configured"
    )
    profile = {"profile": "no-such-profile"}  # an operator that looks finds nothing to run
    api.kubectl("delete", "ftj", name, "-n", place)
    api.apply(real_cluster.finetunejob(place, name, scheduling={"queueName": "a"}, **running, **profile))
    assert api.refusal(
        real_cluster.finetunejob(place, name, scheduling={"queueName": "b"}, **running, **profile)
    ) == (
        f'The FineTuneJob "{name}" is invalid: spec.scheduling: Forbidden: queues, priority and placement can change only '
        "while spec.runPolicy.suspend is true"
    )


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"prices": {"gpuHour": -1}}, "spec.prices.gpuHour in body should be greater than or equal to 0"),
        (
            {"defaults": {"memory": "16 GB"}},
            'spec.defaults.memory: Invalid value: "16 GB": must be a quantity as Kubernetes writes it',
        ),
        ({"hostPath": "/"}, 'unknown field "spec.hostPath"'),
    ],
)
def test_a_profile_that_cannot_be(api, spec, sentence):
    profile = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneProfile",
        "metadata": {"name": "refused"},
        "spec": spec,
    }
    assert sentence in api.refusal(profile)

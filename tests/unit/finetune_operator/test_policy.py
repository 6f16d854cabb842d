"""What a profile forbids: every rule, with the sentence that names it."""

import pytest

import kube_objects
from finetune_operator import errors
from finetune_operator.observe.job import job, profile
from finetune_operator.plan import not_yet, policy, quantities, resolve, uris
from finetune_operator.plan.accept import Installed, accept, spec_of

INSTALLED = Installed(trainer_image="registry/trainer:1")


def accepting(profile_spec, **spec):
    """The plan of a job under a profile that is the default one."""
    raw = kube_objects.fine_tune_profile("strict", default=True, **profile_spec)
    return accept(job(kube_objects.fine_tune_job(**spec)), {"strict": profile(raw)}, INSTALLED)


def checking(profile_spec, **spec):
    """The policy alone: some of what it forbids is not there yet, and refused before it."""
    seen = job(kube_objects.fine_tune_job(**spec))
    strict = profile(kube_objects.fine_tune_profile("strict", default=True, **profile_spec))
    chosen = resolve.chosen(None, {"strict": strict})
    sizes = resolve.sizes(spec_of(seen), chosen.spec)
    policy.check(policy.Asked(spec_of(seen), chosen.spec, sizes, seen.namespace), chosen.label)


OUTPUT = {"uri": "s3://team-a/adapters/x"}
DENIED = {
    "nodes": ({"maximum": {"nodes": 1}}, {"resources": {"nodes": 2, "gpusPerNode": 1}}, "maximum.nodes, 1"),
    "gpus": ({"maximum": {"gpusPerNode": 1}}, {"resources": {"gpusPerNode": 2}}, "maximum.gpusPerNode, 1"),
    "cpu": ({"maximum": {"cpu": "1"}}, {}, "spec.resources.cpu: 2 is more than maximum.cpu, 1"),
    "memory": ({"maximum": {"memory": "4000Mi"}}, {}, "spec.resources.memory"),
    "scratch": ({"maximum": {"scratch": "1Gi"}}, {}, "spec.resources.scratch"),
    "prepare": (
        {"maximum": {"memory": "4Gi"}},
        {"resources": {"prepare": {"memory": "5Gi"}}},
        "spec.resources.prepare.memory",
    ),
    "deadline": ({"maximum": {"activeDeadlineSeconds": 60}}, {}, "maximum.activeDeadlineSeconds, 60"),
    "model": ({"allowed": {"models": ["hf://meta-llama"]}}, {}, "allowed.models: hf://meta-llama"),
    "scoring model": (
        {"allowed": {"models": ["hf://Qwen", "hf://meta-llama"]}},
        {
            "model": {"uri": "hf://Qwen/Qwen3-0.6B"},
            "evaluation": {
                "metrics": ["bertscore"],
                "bertScore": {"model": {"uri": "s3://team-b/secret/encoder"}},
            },
        },
        "spec.evaluation.bertScore.model.uri: 's3://team-b/secret/encoder' is below none of allowed.models",
    ),
    "a task's rows": (
        {"allowed": {"datasets": ["s3://{namespace}"]}},
        {
            "evaluation": {
                "tasks": [
                    {
                        "name": "trivia",
                        "data": {"uri": "s3://team-b/trivia.jsonl"},
                        "prompt": "{question}",
                        "target": "answer",
                        "generate": {},
                    }
                ]
            }
        },
        "spec.evaluation.tasks[0].data.uri: 's3://team-b/trivia.jsonl' is below none of allowed.datasets: s3://team-a",
    ),
    "data": ({"allowed": {"datasets": ["s3://{namespace}/in"]}}, {}, "allowed.datasets: s3://team-a/in"),
    "output": ({"allowed": {"outputs": ["s3://team-a/adapters/support"]}}, {}, "spec.output.uri"),
    "work area": (
        {"allowed": {"outputs": ["s3://team-a/"]}},
        {"output": {"workUri": "s3://team-b/x"}},
        "spec.output.workUri",
    ),
    "copy on the Hub": (
        {"allowed": {"outputs": ["s3://team-a/", "hf://{namespace}"]}},
        {"output": {"hub": {"repo": "elsewhere/x"}}},
        "spec.output.hub.repo: 'hf://elsewhere/x' is below none of allowed.outputs: s3://team-a/, hf://team-a",
    ),
    "service account": (
        {"allowed": {"serviceAccounts": ["a"]}},
        {"serviceAccountName": "b"},
        "allowed.serviceAccounts: a",
    ),
    "remote code": ({}, {"model": {"trustRemoteCode": True}}, "allowed.trustRemoteCode"),
    "cpu training": ({"allowed": {"cpu": False}}, {}, "allowed.cpu is false"),
    "endpoint": (
        {"allowed": {"endpoints": ["https://mlflow.example"]}},
        {"tracking": {"mlflow": {"trackingUri": "https://evil.example"}}},
        "allowed.endpoints",
    ),
}


@pytest.mark.parametrize("case", DENIED)
def test_a_broken_rule_is_named(case):
    profile_spec, spec, sentence = DENIED[case]
    with pytest.raises(errors.PolicyDenied) as denied:
        checking(profile_spec, **spec)
    assert sentence in str(denied.value)
    assert "'strict'" in str(denied.value)


@pytest.mark.parametrize("zero", ["0", "0Gi", "0.0", "0m"])
@pytest.mark.parametrize("field", ["cpu", "memory", "scratch", "prepare.cpu", "prepare.memory"])
def test_zero_is_no_way_below_a_maximum(field, zero):
    first, _, last = field.partition(".")
    resources = {first: {last: zero} if last else zero}
    with pytest.raises(errors.SpecInvalid, match=rf"^spec\.resources\.{field}: {zero} would mean no limit"):
        accepting({"maximum": {"cpu": "8", "memory": "8Gi", "scratch": "20Gi"}}, resources=resources)


@pytest.mark.parametrize(
    ("field", "profile_spec"),
    [
        ("spec.allowed.endpoints", {"allowed": {"endpoints": ["https://s3.example"]}}),
        ("spec.prices.cpuHour", {"prices": {"cpuHour": 0.05}}),
    ],
)
def test_what_a_profile_cannot_enforce_yet_is_refused_by_its_name(field, profile_spec):
    with pytest.raises(errors.NotYetSupported, match=f"^{field} of FineTuneProfile 'strict' is not supp"):
        accepting(profile_spec)


def test_what_is_allowed_is_accepted():
    allowed = {
        "models": ["hf://Qwen"],
        "datasets": ["s3://{namespace}"],
        "outputs": ["s3://{namespace}/adapters/"],
        "serviceAccounts": ["robot"],
    }
    plan = accepting(
        {"allowed": allowed, "maximum": {"memory": "4Gi"}},
        serviceAccountName="robot",
        model={"uri": "hf://Qwen/Qwen3-0.6B@main"},
    )
    assert plan.profile == {"name": "strict", "generation": 1}


@pytest.mark.parametrize(
    ("uri", "prefix", "below"),
    [
        ("s3://b/team-a/x", "s3://b/team-a", True),
        ("s3://b/team-a", "s3://b/team-a/", True),
        ("s3://b/team-ab/x", "s3://b/team-a", False),
        ("s3://b//team-a///x", "s3://b/team-a", True),
        ("s3://b/team%2Da/x", "s3://b/team-a", True),
        ("S3://b/team-a/x", "s3://b/team-a", True),
        ("gs://b/team-a/x", "s3://b/team-a", False),
        ("s3://b", "s3://b/team-a", False),
        ("hf://org/name@v1", "hf://org/name", True),
        ("hf://org/name2@v1", "hf://org/name", False),
        ("s3://b/{namespace}/x", "s3://b/{namespace}", False),
        ("s3://b/ns/x", "s3://b/{namespace}", True),
    ],
)
def test_a_prefix_is_whole_segments(uri, prefix, below):
    assert uris.within(uris.place(uri, "f"), prefix, namespace="ns") is below


@pytest.mark.parametrize(
    "uri",
    [
        "s3://b/../c",
        "s3://b/%2e%2e/c",
        "s3://b/./c",
        "pvc://c/a%2Fb",
        "s3:///x",
        "pvc://c/a%5cb",
        "pvc://../x",
    ],
)
def test_a_uri_that_climbs_is_refused(uri):
    with pytest.raises(errors.SpecInvalid):
        uris.place(uri, "spec.model.uri")


def test_every_field_that_is_not_there_yet_is_refused_by_its_name():
    asks = {
        "spec.model.attention": {"model": {"attention": "flash_attention_2"}},
    }
    for field, spec in asks.items():
        with pytest.raises(errors.NotYetSupported, match=field.replace("[", r"\[").replace("]", r"\]")):
            accept(job(kube_objects.fine_tune_job(**spec)), {}, INSTALLED)
    assert all(field.startswith("spec.") for field, _, _ in not_yet.JOB)


def test_credentials_of_the_output_serve_the_same_bucket_only():
    train = [
        {"uri": "s3://team-a/x"},
        {"uri": "s3://other/x"},
        {"uri": "s3://team-a/y", "credentialsSecretRef": {"name": "own"}},
    ]
    plan = accept(job(kube_objects.fine_tune_job(dataset={"train": train})), {}, INSTALLED)
    found = [one.get("credentialsSecretRef", {}).get("name") for one in plan.run["dataset"]["train"]]
    assert found == ["bucket", None, "own"]
    assert plan.pods.secrets == ["bucket", "own"]
    assert "credentialsSecretRef" not in plan.run["model"]


def test_the_default_profile_is_the_first_by_name():
    profiles = {
        name: profile(kube_objects.fine_tune_profile(name, default=True, image=f"image-{name}"))
        for name in ("b", "a")
    }
    assert accept(job(kube_objects.fine_tune_job()), profiles, INSTALLED).pods.image == "image-a"


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("500m", 0.5),
        ("2", 2),
        ("8Gi", 8 * 2**30),
        ("1.5G", 1.5e9),
        ("1E", 1e18),
        ("1Ei", 2**60),
        ("100k", 1e5),
    ],
)
def test_quantities(quantity, number):
    assert float(quantities.number(quantity)) == number

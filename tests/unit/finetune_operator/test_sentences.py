"""What a status says in words, and when: nothing that is not so any more, and no word of a program."""

import pydantic
import pytest

import kube_objects
from finetune_operator.api import schema
from finetune_operator.api.base import RULES
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.plan import resolve
from finetune_operator.status.transitions import transitions
from simulation import Simulation, prepared_job

SPEC = {
    "model": {"uri": "hf://org/name"},
    "dataset": {"train": [{"uri": "s3://bucket/data.jsonl"}]},
    "output": {"uri": "s3://bucket/out"},
}
WAITS = " (this job waits)"


@pytest.mark.parametrize(
    ("spec", "profiles"),
    [
        ({"profile": "gpu"}, {}),
        ({"profile": "gpu"}, {"gpu": kube_objects.fine_tune_profile("gpu", nonsense=1)}),
        ({"checkpoint": {"resumeFrom": {"jobRef": {"name": "other"}}}}, {}),
    ],
    ids=["no profile", "a profile that cannot be read", "no such job"],
)
def test_that_a_job_waits_is_said_only_while_it_waits(spec, profiles):
    sim = Simulation(runPolicy={"pendingDeadlineSeconds": 60}, profiles=profiles, **spec)
    sim.others = []
    sim.step()
    waiting = sim.condition("Ready")["message"]
    assert waiting.endswith(WAITS)
    assert waiting == sim.condition("Accepted")["message"]

    sim.passes(61)
    sim.step()

    why = waiting.removesuffix(WAITS)
    assert sim.condition("Accepted")["message"] == why
    assert sim.condition("Stalled")["message"] == (
        f"gave up after waiting 1m (spec.runPolicy.pendingDeadlineSeconds): {why}"
    )


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ("train", "the queue stops training attempt 1, which saves a checkpoint now"),
        ("prepare", "the queue stops Prepare attempt 1, which starts over when there is room again"),
    ],
)
def test_prepare_has_no_checkpoint_to_save(stage, says):
    sim = prepared_job() if stage == "train" else Simulation()
    sim.step()
    sim.runs(stage, 1, running=True)
    sim.step()
    job = sim.job(stage, 1)
    job["spec"]["suspend"] = True
    job["metadata"]["resourceVersion"] = sim._next()
    sim.step()
    assert sim.rules[-1] == "stopping"
    assert sim.condition("Queued")["message"] == says


@pytest.mark.parametrize(("stage", "called"), [("prepare", "Prepare"), ("train", "training")])
def test_where_an_attempt_left_no_sentence_its_reason_stands(stage, called):
    sim = prepared_job() if stage == "train" else Simulation()
    sim.step()
    sim.ends(stage, 1, 69, kube_objects.word(stage.capitalize(), "StorageUnavailable", "the bucket is away"))
    sim.step()
    sim.deletes(stage, 1)
    del sim.status["attempts"][-1]["message"]
    sim.step()
    assert sim.rules[-1] == "pausing"
    assert sim.condition("Ready")["message"] == (
        f"StorageUnavailable ({called} attempt 1 ended; it is tried again)"
    )


def test_a_pod_that_does_not_start_and_has_no_trouble_is_told_with_whom_to_ask():
    sim = prepared_job(runPolicy={"pendingDeadlineSeconds": 600})
    sim.runs("train", 1)
    sim.passes(601)
    sim.step()
    assert sim.condition("Stalled")["message"] == (
        "gave up after waiting 10m (spec.runPolicy.pendingDeadlineSeconds): the training pod did not start, and Kubernetes did "
        "not say why; ask the cluster's admin to look at the nodes"
    )


@pytest.mark.parametrize(("stage", "called"), [("Prepare", "Prepare"), ("Train", "training")])
def test_an_event_calls_a_stage_as_conditions_do(stage, called):
    attempt = {
        "stage": stage,
        "number": 2,
        "outcome": "Failed",
        "reason": "TrainerFailed",
        "message": "it fell",
    }
    (event,) = transitions(FineTuneJobStatus(), FineTuneJobStatus.model_validate({"attempts": [attempt]}))
    assert event.message == f"{called} attempt 2 ended (Failed): it fell"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"training": {"epochs": 0}}, "spec.training.epochs: must be greater than 0"),
        ({"dataset": {"train": []}}, "spec.dataset.train: must have at least 1 item, not 0"),
        ({"method": "PPO"}, "spec.method: must be 'SFT', 'DPO', 'ORPO' or 'KTO'"),
        ({"output": {}}, "spec.output.uri: must be set"),
        ({"tuning": 3}, "spec.tuning: must be a mapping of fields"),
        ({"colour": "red"}, "spec.colour: there is no such field"),
        (
            {"resources": {"memory": "16GB"}},
            "spec.resources.memory: must be a quantity as Kubernetes writes it, for example 500m, 4, 16Gi or 16G",
        ),
        (
            {"profile": "Team A"},
            "spec.profile: must hold only a-z, 0-9, '-' and '.', and begin and end with a letter or digit",
        ),
    ],
)
def test_a_spec_that_cannot_be_read_is_told_in_our_words(change, says):
    with pytest.raises(pydantic.ValidationError) as caught:
        FineTuneJobSpec.model_validate(SPEC | change)
    assert resolve.first_error(caught.value) == says


def nodes(node):
    yield node
    for child in (*node.get("properties", {}).values(), *filter(None, [node.get("items")])):
        yield from nodes(child)


@pytest.mark.parametrize("crd", [schema.finetunejobs(), schema.finetuneprofiles()])
def test_the_api_server_answers_in_words_not_with_a_regular_expression(crd):
    (version,) = crd["spec"]["versions"]
    found = list(nodes(version["schema"]["openAPIV3Schema"]))
    assert sum("self.matches" in rule["rule"] for node in found for rule in node.get(RULES, [])) > 10
    assert [node for node in found if "pattern" in node] == []

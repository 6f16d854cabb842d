"""How a pod ends, told by one side and understood by the other: exit codes, last words, results, progress (sections 3 and 4)."""

import datetime as dt
import json
import pathlib
import re

import hypothesis
import pytest
from hypothesis import strategies

import contract_runs
import kube_objects
import reasons_page
from finetune_operator.api import schema, status
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.running import Scheduling
from finetune_operator.cluster import progress as progress_client
from finetune_operator.errors import cures as cures_of_the_operator
from finetune_operator.errors.reasons import Reason
from finetune_operator.observe import job as observe_job
from finetune_operator.observe import pod as observe_pod
from finetune_operator.observe import words
from finetune_operator.plan import accept, training_job
from finetune_operator.status import endings, results
from finetune_trainer import config, errors, hub_copy, prepared, report
from finetune_trainer import cures as cures_of_the_trainer
from finetune_trainer.errors import ExitCode
from finetune_trainer.supervisor import publication
from kubectl_finetune import command

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "contract.md").read_text()
DIGEST = "sha256:" + "ab" * 32
MEANS = {
    ExitCode.AUTHOR: ("Failed", True),
    ExitCode.GATE: ("Failed", True),
    ExitCode.OUTSIDE: ("Waiting", False),
    ExitCode.INTERNAL: ("Failed", False),
    ExitCode.INTERRUPTED: ("Interrupted", False),
    ExitCode.DENIED: ("Failed", True),
    ExitCode.OUT_OF_MEMORY: ("Failed", True),
}
"""Outcome, and whether another attempt could help: the table of the contract."""
ALL_CURES = (*cures_of_the_trainer.CURES.values(), *cures_of_the_operator.CURES.values())

ADAPTER = {
    "uri": "s3://team-a/out",
    "digest": DIGEST,
    "type": "LoRA",
    "rank": 16,
    "baseModel": "Qwen/Qwen3-0.6B",
    "baseRevision": "abc",
    "step": 1070,
    "sizeBytes": 19000000,
}
TRAINED = {
    "adapter": ADAPTER,
    "evaluation": {
        "rows": 600,
        "base": {"loss": 3.1, "perplexity": 22.2, "other": {"rouge": 0.1}},
        "tuned": {"loss": 1.9, "perplexity": 6.7, "other": {"rouge": 0.3}},
    },
    "progress": {"step": 1070, "totalSteps": 1070, "epoch": 3.0, "loss": 1.9, "tokensPerSecond": 5100.0},
    "usage": {"gpuSeconds": 3600.0, "seconds": 3600.0},
}
PREPARED = {
    "dataset": {
        "digest": DIGEST,
        "format": "messages",
        "rows": 11400,
        "evalRows": 600,
        "rowsRead": 12003,
        "dropped": {"ExactDuplicate": 3},
        "truncated": 0,
        "tokens": 1500000,
        "supervisedTokens": 420000,
        "packs": 1500,
        "fillRate": 0.9766,
        "advice": ["more data would help"],
    },
    "model": {"baseModel": "Qwen/Qwen3-0.6B", "baseRevision": "abc"},
    "resolved": {
        "epochs": 3.0,
        "totalSteps": 1070,
        "learningRate": 0.0002,
        "globalBatchSize": 32,
        "microBatchSize": 4,
        "maxLength": 1024,
        "targetModules": ["k_proj", "q_proj"],
        "distribution": "Full, 4 processes: parameters sharded (FSDP2)",
    },
    "estimate": {
        "gpuMemoryBytes": 8000000000,
        "parts": {"weights": 7000000000, "overhead": 1000000000},
        "durationSeconds": 600,
    },
}


def last_word(stage="Train", reason="Published", message="published", result=None):
    """What the trainer leaves in /dev/termination-log."""
    return report.encode_last_word(
        report.LastWord(stage=stage, reason=reason, message=message, result=result)
    ).decode()


def seen(exit_code, message, stage="Train"):
    """The pod as the operator sees it."""
    found = accept.accept(
        observe_job.job(kube_objects.fine_tune_job()), {}, accept.Installed(trainer_image="i")
    )
    manifest = training_job.training_job(contract_runs.OWNER, found, Scheduling(), 1, prepared=DIGEST)
    manifest["spec"]["template"]["metadata"]["labels"]["finetune.dev/stage"] = stage.lower()
    job = kube_objects.batch_job(manifest, "job-1")
    return observe_pod.pod(kube_objects.pod(job, exit_code=exit_code, message=message))


def ending(exit_code, message, stage="Train"):
    return endings.ending(seen(exit_code, message, stage), name="support-bot")


def test_every_exit_code_of_the_trainer_means_what_the_contract_says():
    assert set(MEANS) | {ExitCode.OK} == set(ExitCode)
    ends = {code: ending(int(code), last_word(reason="SomeReason", message="a sentence")) for code in MEANS}
    assert {code: (end.outcome, end.final) for code, end in ends.items()} == MEANS


@pytest.mark.parametrize("code", MEANS)
def test_the_trainers_own_word_and_sentence_reach_the_condition(code):
    end = ending(int(code), last_word(reason="SomeReason", message="spec.model.uri: a sentence"))
    assert (end.reason, end.message) == ("SomeReason", "spec.model.uri: a sentence")


@pytest.mark.parametrize("code", MEANS)
def test_without_a_last_word_there_is_a_sentence_all_the_same(code):
    end = ending(int(code), "")
    assert end.reason in set(Reason)
    assert end.message


def test_the_contract_lists_the_codes_of_both_sides():
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert listed == {int(code) for code in ExitCode if code is not ExitCode.INTERNAL}
    assert set(endings.FINAL) | {endings.WAITING, endings.INTERRUPTED, 0} == listed
    assert set(endings.FINAL) == {int(code) for code in errors.FINAL}


def test_success_needs_a_result():
    assert ending(0, last_word(result=TRAINED)).outcome == "Succeeded"
    for message in (
        "",
        "published",
        last_word(),
        last_word(result={"adapter": {}}),
        last_word(stage="Prepare", result=TRAINED),
    ):
        assert ending(0, message).outcome == "Failed"


def test_prepare_succeeds_with_its_result_and_with_the_one_that_lies_there():
    assert ending(0, last_word("Prepare", "Prepared", result=PREPARED), "Prepare").outcome == "Succeeded"
    there = {"published": TRAINED}
    assert ending(0, last_word("Prepare", "AlreadyPublished", result=there), "Prepare").outcome == "Succeeded"
    assert ending(0, last_word("Prepare", "Prepared", result={}), "Prepare").outcome == "Failed"


def test_nothing_of_a_training_result_is_lost_on_the_way():
    got = results.published(words.last_word(last_word(result=TRAINED)), name="support-bot")
    assert {name: value for name, value in got.adapter.wire().items() if name != "serving"} == ADAPTER
    assert got.evaluation.wire() == TRAINED["evaluation"]
    assert TRAINED["progress"].items() <= got.progress.wire().items()
    assert got.usage.wire() == TRAINED["usage"]


def test_nothing_of_a_prepare_result_is_lost_on_the_way():
    got = results.prepared(words.last_word(last_word("Prepare", "Prepared", result=PREPARED)))
    assert got.digest == DIGEST
    assert got.dataset.wire() == PREPARED["dataset"]
    assert got.resolved.wire() == PREPARED["resolved"]
    assert got.estimate.wire() == PREPARED["estimate"]


def test_what_prepare_resolves_is_what_the_status_shows():
    """What memory makes of it is told later, by training."""
    assert names(prepared.Resolved) == names(status.Resolved) - {"outOfMemory"}


def test_what_prepare_estimates_is_in_the_status():
    """The operator adds what it costs."""
    assert names(prepared.Estimated) == names(status.Estimate) - {"cost", "currency"}


def names(model):
    return {field.alias or name for name, field in model.model_fields.items()}


def test_what_training_tells_is_in_the_status():
    """The very function that makes the result, on a run that is made up."""
    run = config.parse(contract_runs.text(contract_runs.run(contract_runs.SHORTEST)))
    steps = {"step": 10, "total_steps": 10, "epoch": 1.0, "loss": 2.0, "tokens_per_second": 9.0}
    trained = type("Trained", (), steps)
    trained.evaluation = trained.kept_step = None
    base = type("Base", (), {"id": "Qwen/Qwen3-0.6B", "revision": "abc"})
    ready = type("Ready", (), {"identity": type("Identity", (), {"model": base})})
    made = publication.result(run, ready, trained, files={}, seconds=1.0)
    made["adapter"]["digest"] = DIGEST
    assert ending(0, last_word(result=made)).outcome == "Succeeded"
    for part, model in (("adapter", status.AdapterSeen), ("progress", status.Progress)):
        assert set(made[part]) <= names(model)
    assert set(made["usage"]) - {"seconds"} <= names(status.Usage)


@pytest.mark.parametrize("error", [None, errors.AccessDenied("the Hub refuses")], ids=["made", "not made"])
def test_what_became_of_the_copy_on_the_hub_is_in_the_status(error):
    asked = config.HubCopy(repo="org/name")
    told = hub_copy.unmade(asked, error) if error else {"repo": asked.repo, "revision": "c0ffee"}
    word = words.last_word(last_word(result={**TRAINED, "hub": told}))
    published = results.published(word, name="job")
    assert published.hub.wire() == told
    assert published.sentence.endswith(hub_copy.sentence(told).replace("lies at", "is at"))


@hypothesis.given(
    message=strategies.text(max_size=6000),
    advice=strategies.lists(strategies.text(max_size=1500), max_size=12),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_any_last_word_fits_and_is_understood(message, advice):
    result = {**PREPARED, "dataset": {**PREPARED["dataset"], "advice": advice}}
    text = last_word("Prepare", "Prepared", message, result)
    assert len(text.encode()) <= report.MAX_LAST_WORD_BYTES
    assert results.prepared(words.last_word(text)).digest == DIGEST


def test_a_last_word_of_another_version_is_none():
    assert words.last_word(json.dumps({**json.loads(last_word(result=TRAINED)), "version": 2})) is None


def test_both_sides_allow_a_last_word_the_same_length():
    assert report.MAX_LAST_WORD_BYTES == observe_pod.MAX_LAST_WORD


PROGRESS = report.Progress(
    stage="Train",
    attempt=2,
    step=120,
    total_steps=500,
    epoch=0.72,
    loss=2.31,
    eval_loss=2.44,
    learning_rate=0.0002,
    tokens_per_second=5120.0,
    mfu=0.41,
    eta_seconds=250,
    rows=12000,
    micro_batch_size=2,
    out_of_memory=1,
    warnings=("MLflow: no answer; the run goes on without it",),
    checkpoint=report.CheckpointSeen(
        step=100, uri="s3://team-a/c", time=dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)
    ),
    updated_at=dt.datetime(2026, 11, 22, 10, 1, tzinfo=dt.UTC),
    message="step 120 of 500",
)


def test_nothing_of_the_progress_document_is_lost_on_the_way():
    document = words.progress(report.encode_progress(PROGRESS))
    told = results.progress(document).wire()
    shown = {name for name in names(report.Progress) if name in names(status.Progress)}
    assert {name: told[name] for name in shown} == {name: document[name] for name in shown}
    assert (told["text"], told["percent"], told["eta"]) == ("120/500", 24, "4m10s")
    assert results.checkpoint(document).wire() == document["checkpoint"]
    left = results.in_force(status.Resolved(micro_batch_size=4, max_length=1024), document)
    assert left.wire() == {"microBatchSize": 2, "outOfMemory": 1, "maxLength": 1024}
    elsewhere = {"checkpoint", "microBatchSize", "outOfMemory"}
    assert names(report.Progress) - shown == {"version", "attempt", "rows", "message", *elsewhere}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_diverged_loss_does_not_break_the_document(number):
    document = words.progress(report.encode_progress(PROGRESS.model_copy(update={"loss": number})))
    assert results.progress(document).loss is None


def test_the_largest_progress_document_is_read():
    long = PROGRESS.model_copy(update={"message": "ä" * 100_000})
    body = report.encode_progress(long)
    assert len(body) < progress_client.MAX_BYTES == report.MAX_PROGRESS_BYTES
    assert words.progress(body) is not None


def test_the_contract_names_every_field_of_the_progress_document():
    section = PAGE.partition("## 3.")[2].partition("## 4.")[0]
    assert {name for name in names(report.Progress) if f'"{name}"' not in section} == set()


def test_every_reason_of_both_sides_is_on_the_page():
    assert reasons_page.PATH.read_text() == reasons_page.text(), "run `python tests/support/reasons_page.py`"
    page = reasons_page.PATH.read_text()
    assert {
        reason for reason in (*reasons_page.trainer_reasons(), *Reason) if f"| `{reason}` |" not in page
    } == set()


def test_every_reason_of_the_trainer_is_a_word_that_a_condition_may_hold():
    for reason in reasons_page.trainer_reasons():
        assert words.last_word(last_word(reason=reason)).reason == reason


def test_every_reason_has_a_meaning():
    assert all(meaning.endswith(".") for _, meaning in reasons_page.trainer_reasons().values())


def test_every_reason_of_both_sides_says_what_to_do():
    """What to look at, what to type; no reason without, and no such entry for a reason that is no more."""
    assert set(cures_of_the_trainer.CURES) == set(reasons_page.trainer_reasons()) - set(reasons_page.GOOD)
    assert set(cures_of_the_operator.CURES) == set(Reason)
    assert [cure for cure in ALL_CURES if not cure.endswith(".")] == []


def test_what_to_type_are_commands_that_exist():
    typed = re.findall(r"`kubectl finetune ([a-z]+)([^`]*)`", " ".join(ALL_CURES))
    assert len(typed) > 40
    for name, rest in typed:
        options = {flag for one in command.program.commands[name].params for flag in one.opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= options, f"kubectl finetune {name}{rest}"


def test_fields_to_set_are_fields_of_the_api():
    said = " ".join(ALL_CURES)
    set_to = re.findall(r"--set ([a-z][A-Za-z.]+)=", said)
    named = re.findall(r"`spec\.([A-Za-z.]+)(?=[`\[:])", said)
    assert len(set_to) > 5
    assert len(named) > 20
    for path in (*set_to, *named):
        node = schema.structural(FineTuneJobSpec)
        for part in path.split("."):
            node = node["properties"][part]

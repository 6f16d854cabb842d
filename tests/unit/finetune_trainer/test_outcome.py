"""What lies at the output decides first: a finished job is final, and nobody's result is taken for another's."""

import json
from typing import Any

import pytest

import trainer_runs
from finetune_trainer import errors, outcome
from finetune_trainer.layout import Layout
from finetune_trainer.report import LastWord

MINE, THEIRS = trainer_runs.JOB, {"namespace": "team-b", "name": "other", "uid": "u-2"}
ADAPTER = {"uri": "pvc://output/tiny", "rank": 4}
RUBBISH = [
    b"", b"no JSON", b"[]", b'"text"', b"null", b'{"job": null}', b'{"job": "me"}', b'{"job": {"uid": null}}',
    b'{"job": []}', b"\xff\xfe",
]  # fmt: skip


def manifest(job: dict[str, str], **parts: Any) -> bytes:
    return json.dumps({"version": 1, "job": job, "result": {"adapter": ADAPTER}, **parts}).encode()


def look(layout: Layout, *, overwrite: bool = False) -> dict[str, Any] | None:
    return outcome.look(trainer_runs.run(output={"overwrite": overwrite}), layout)


def lies_there(layout: Layout, raw: bytes) -> None:
    outcome.output(trainer_runs.run(), layout).put(outcome.MANIFEST, raw)


def has_failed(layout: Layout, code: int = 64) -> LastWord:
    word = LastWord(stage="Train", reason="NonFiniteLoss", message="at step 3")
    assert outcome.record_failure(trainer_runs.run(), layout, exit_code=code, word=word)
    return word


def test_an_empty_output_is_free(layout):
    assert look(layout) is None


@pytest.mark.parametrize("overwrite", [False, True])
def test_its_own_result_is_recorded_once_and_for_all(layout, overwrite):
    has_failed(layout)  # a pod that was taken for lost may still have failed
    lies_there(layout, manifest(MINE))
    assert look(layout, overwrite=overwrite)["adapter"].items() >= ADAPTER.items()


@pytest.mark.parametrize("code", sorted(errors.FINAL))
def test_its_own_final_failure_is_told_again(layout, code):
    word = has_failed(layout, code)
    with pytest.raises(errors.EarlierFailure) as again:
        look(layout)
    assert (errors.exit_code_of(again.value), again.value.last_word) == (code, word.wire())


def test_its_own_failure_counts_before_anothers_result(layout):
    lies_there(layout, manifest(THEIRS))
    has_failed(layout)
    with pytest.raises(errors.EarlierFailure):
        look(layout)


@pytest.mark.parametrize("code", sorted(set(errors.ExitCode) - errors.FINAL))
def test_what_may_pass_leaves_no_marker(layout, code):
    word = LastWord(stage="Train", reason="StorageUnavailable", message="later")
    assert not outcome.record_failure(trainer_runs.run(), layout, exit_code=code, word=word)
    assert look(layout) is None


def test_anothers_result_is_in_the_way_unless_it_may_be_replaced(layout):
    lies_there(layout, manifest(THEIRS))
    with pytest.raises(errors.OutputExists, match="holds the result of team-b/other"):
        look(layout)
    assert look(layout, overwrite=True) is None


def test_a_job_of_the_same_name_is_another_job(layout):
    lies_there(layout, manifest({**MINE, "uid": "made anew"}))
    with pytest.raises(errors.OutputExists):
        look(layout)


def test_anothers_failure_is_none_of_ours(layout):
    run = trainer_runs.run(job={**MINE, "uid": "u-2"})
    outcome.record_failure(run, layout, exit_code=64, word=LastWord(stage="Train", reason="X", message="x"))
    assert look(layout) is None


@pytest.mark.parametrize("raw", RUBBISH)
def test_a_manifest_that_nobody_can_read_is_somebodys(layout, raw):
    lies_there(layout, raw)
    with pytest.raises(errors.OutputExists, match="holds the result of another job"):
        look(layout)
    assert look(layout, overwrite=True) is None


@pytest.mark.parametrize(
    "raw",
    [
        *RUBBISH,
        b'{"exitCode": 64}',
        b'{"exitCode": "x", "lastWord": {}}',
        b'{"exitCode": 64, "lastWord": 1}',
        b'{"exitCode": [], "lastWord": {"reason": "X"}}',
    ],
)
def test_a_marker_that_nobody_can_read_marks_nothing(layout, raw):
    outcome.work_area(trainer_runs.run(), layout).put(outcome.OUTCOME, raw)
    assert look(layout) is None


@pytest.mark.parametrize("result", [None, [], "text", {"adapter": None}, {"adapter": "text"}])
def test_a_damaged_result_is_still_this_jobs(layout, result):
    lies_there(layout, manifest(MINE, result=result))
    assert look(layout)["adapter"].keys() == {"digest"}

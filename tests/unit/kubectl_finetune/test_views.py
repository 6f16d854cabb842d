import copy
from datetime import UTC, datetime

import pytest

import kube_objects
import terminal
from kubectl_finetune.views import amounts, curve, next_step
from kubectl_finetune.views.job import Job

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def job(status, **spec):
    return Job.of(kube_objects.fine_tune_job(status=copy.deepcopy(status), **spec))


def saying(kind, truth, reason, message="", *, state="Pending"):
    said = {
        "type": kind,
        "status": truth,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-22T10:00:00Z",
    }
    return {"observedGeneration": 1, "state": state, "conditions": [said]}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (45, "45s"),
        (60, "1m"),
        (250, "4m10s"),
        (12000, "3h20m"),
        (7200, "2h"),
        (5 * 86400 + 4 * 3600, "5d4h"),
        (-3, "0s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, said):
    assert amounts.duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(999, "999 B"), (17.9e9, "17.9 GB"), (2e15, "2000.0 TB")])
def test_a_size_is_in_decimal_units(count, said):
    assert amounts.size(count) == said


def test_a_curve_keeps_to_its_width_and_falls_where_the_loss_falls():
    drawn = curve.drawn([(step, 3.0 - step / 100) for step in range(1, 101)], width=40)

    assert max(map(len, drawn)) <= 40
    assert [line.partition("|")[2].find("•") for line in drawn[:4]] == sorted(
        line.partition("|")[2].find("•") for line in drawn[:4]
    )
    assert drawn[0].startswith(" 2.99 |•") or drawn[0].startswith("2.99 |•")
    assert drawn[-1].endswith("100")


@pytest.mark.parametrize("points", [[], [(1, 2.0)]])
def test_fewer_than_two_points_make_no_curve(points):
    assert curve.drawn(points, width=80) == []


def test_a_loss_that_never_changes_is_a_flat_line():
    drawn = curve.drawn([(1, 2.0), (9, 2.0)], width=20)

    assert sum("•" in line for line in drawn) == 1


def test_points_are_read_from_a_log_and_a_repeated_step_counts_as_it_was_made_last():
    log = [
        "Load",
        "step 1/9 loss 3.0000 lr 1e-4",
        "step 2/9 loss 2.0000 lr 1e-4",
        "resumed",
        "step 2/9 loss 2.5000 lr 1e-4",
    ]

    assert curve.points(log) == [(1, 3.0), (2, 2.5)]


@pytest.mark.parametrize(
    ("status", "spec", "said"),
    [
        (terminal.PUBLISHED, {}, "finetune report support-bot"),
        ({**terminal.PUBLISHED, "evaluation": {"base": {"loss": 2.0}, "tuned": {"loss": 2.1}}}, {}, "no better than the base"),
        (terminal.FAILED, {}, "`kubectl finetune retry support-bot --set FIELD=VALUE` runs it"),
        ({**terminal.FAILED, "checkpoint": {"step": 9}}, {}, "retry support-bot --from-checkpoint"),
        (terminal.RUNNING, {"runPolicy": {"suspend": True}}, "finetune resume support-bot"),
        ({"observedGeneration": -1}, {}, "ask the cluster's admin whether finetune-operator runs"),
        (saying("Queued", "True", "Pending", state="Queued"), {}, "waits for its turn"),
        (saying("Succeeded", "Unknown", "Inadmissible", state="Queued"), {}, "the queue cannot take it as things stand"),
        (saying("Succeeded", "Unknown", "ImagePullFailed"), {}, "do what the sentence above says; then it goes on by itself"),
        (saying("Accepted", "False", "ProfileNotFound"), {}, "waits for what the sentence above names"),
        (terminal.RUNNING, {}, "finetune watch support-bot"),
    ],
)  # fmt: skip
def test_what_to_do_next_follows_from_how_the_job_is(status, spec, said):
    assert said in next_step.step(job(status, **spec), NOW)

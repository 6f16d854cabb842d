"""What pods say is tamed, and what we keep is slim."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kube_objects
from finetune_operator.api.status import AdapterSeen, FineTuneJobStatus, Metrics
from finetune_operator.observe import documents, times, words
from finetune_operator.observe.job import job
from finetune_operator.reconcile.caches import Caches
from finetune_operator.status import compose, results, size

LIES = [
    b"",
    b"[]",
    b'{"version": 2}',
    b"\xff",
    b'{"version": 1, "stage": "Train", "reason": "not a word", "message": ""}',
    b'{"version": 1, "stage": "Play", "reason": "X", "message": ""}',
    b'{"version": 1, "stage": "Train", "reason": "X", "message": 3}',
    b'{"version": 1, "stage": "Train", "reason": "X", "message": "", "result": []}',
    b"[" * 5000,
]


@pytest.mark.parametrize("text", LIES)
def test_what_is_no_last_word_is_none(text):
    assert words.last_word(text.decode("utf-8", "replace")) is None


def test_values_that_the_api_server_would_change_never_get_through():
    raw = '{"a": NaN, "b": 1e999, "c": 99999999999999999999, "d": "\\ud800", "e": [Infinity], "f": "x\\u0000y", "g": 0.5}'
    assert documents.parsed(raw) == {
        "a": None,
        "b": None,
        "c": None,
        "d": "?",
        "e": [None],
        "f": "xy",
        "g": 0.5,
    }


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_a_pod_says_as_its_result_the_status_stays_valid(value):
    result = {"dataset": value, "adapter": value, "evaluation": value, "progress": value, "usage": value}
    text = json.dumps(
        {"version": 1, "stage": "Train", "reason": "Published", "message": "", "result": result}
    )
    word = words.last_word(text)
    found = results.published(word, name="x")
    assert found is None or AdapterSeen.model_validate(found.adapter.model_dump())
    results.progress(documents.parsed(json.dumps({"p": value})) or {})


def test_a_damaged_field_does_not_cost_the_others():
    assert results.lenient(Metrics, {"loss": "high", "perplexity": 3.0, "unknown": 1}) == Metrics(
        perplexity=3.0
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (250, "4m10s"), (3600, "1h"), (86400, "1d"), (90061, "1d1h")],
)
def test_durations(seconds, text):
    assert results.duration(seconds) == text


def test_times_come_back():
    assert times.stamp(times.instant("2026-11-22T10:00:00Z")) == "2026-11-22T10:00:00Z"
    assert times.micro_stamp(0.0) == "1970-01-01T00:00:00.000000Z"
    assert times.instant("yesterday") is None


def test_a_settled_job_keeps_neither_spec_nor_status():
    status = {"conditions": [{"type": "Succeeded", "status": "True"}], "observedGeneration": 1}
    seen = job(kube_objects.fine_tune_job(status=status))
    assert (seen.settled, seen.spec, seen.status) == (True, b"", b"")


def test_newer_versions_win_and_pruning_spares_what_is_newer_than_the_list():
    caches, dropped = Caches(), []
    assert caches.put_job(job(kube_objects.fine_tune_job(version="10")))
    assert not caches.put_job(job(kube_objects.fine_tune_job(version="9", generation=7)))
    caches.prune("jobs", set(), 9, dropped.append)
    assert caches.jobs
    caches.prune("jobs", set(), 10, dropped.append)
    assert not caches.jobs
    assert [str(key) for key in dropped] == ["team-a/support-bot"]


def test_a_merge_patch_makes_the_new_of_the_old():
    old, new = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1]}, {"b": {"d": 3}, "e": [2], "f": {}}
    assert compose.patch(old, new) == {"a": None, "b": {"c": None, "d": 3}, "e": [2], "f": {}}
    assert compose.patch(new, new) == {}


def test_a_status_never_outgrows_its_bound():
    attempt = {"stage": "Train", "number": 1, "message": "x" * 1024, "startTime": "2026-11-22T10:00:00Z"}
    condition = {
        "reason": "R",
        "message": "é" * 2048,
        "status": "True",
        "lastTransitionTime": "2026-11-22T10:00:00Z",
    }
    kinds = [
        "Accepted",
        "Prepared",
        "Queued",
        "Running",
        "Published",
        "Succeeded",
        "Reconciling",
        "Stalled",
        "Ready",
    ]
    raw = {
        "conditions": [{"type": kind, **condition} for kind in kinds],
        "attempts": [attempt] * 10,
        "dataset": {"digest": "d", "advice": ["é" * 1024] * 8},
        "adapter": {
            "uri": "s3://" + "x" * 2000,
            "digest": "d",
            "serving": {str(n): "é" * 1024 for n in range(8)},
        },
        "evaluation": {"base": {"other": {"é" * 1000 + str(n): 1.0 for n in range(16)}}},
    }
    found = size.bounded(FineTuneJobStatus.model_validate(raw))
    assert size.size(found) <= 32 * 1024
    assert found.adapter.uri.startswith("s3://")
    assert len(found.conditions) == 9

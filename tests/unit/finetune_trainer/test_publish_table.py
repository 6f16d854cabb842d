"""A bucket that dies in the middle of a publish: docs/result.md's table, and some of its rows made anew."""

import typing

import pytest

import dying_bucket
import publish_table
from dying_bucket import Dying
from finetune_trainer.storage import bucket

MEASURED = publish_table.read()
DECISIVE = ("DELETE finetune-manifest.json", "PUT adapter_config.json", "PUT finetune-manifest.json")
"""Before the first and after the last of them nothing changes for a reader."""


@pytest.fixture(scope="module")
def trials(s3, tmp_path_factory):
    return publish_table.Trials(s3, tmp_path_factory.mktemp("publish"))


@pytest.mark.slow
@pytest.mark.parametrize("death", typing.get_args(dying_bucket.Death))
@pytest.mark.parametrize("request_told", DECISIVE)
def test_a_row_of_the_table_is_true(trials, monkeypatch, request_told, death):
    monkeypatch.setitem(bucket.RETRY, "max_retries", 0)
    (number,) = [at for at, row in enumerate(MEASURED, 1) if row["request"] == request_told]
    found = trials.run(Dying(at=number, death=death))
    assert found.wire() == MEASURED[number - 1][death]
    assert found.left_over == ()


@pytest.mark.slow
def test_a_publish_asks_what_the_table_says(trials):
    assert trials.requests() == [row["request"] for row in MEASURED]


@pytest.mark.slow
@pytest.mark.parametrize("request_told", DECISIVE)
def test_one_lost_answer_costs_nothing(trials, request_told):
    (number,) = [at for at, row in enumerate(MEASURED, 1) if row["request"] == request_told]
    found = trials.run(Dying(at=number, death="unanswered", once=True))
    assert (found.code, found.reason, found.finds, found.left_over) == (0, "Published", "new", ())


def test_the_page_shows_what_was_measured():
    text = publish_table.PAGE.read_text()
    assert publish_table.page(text, MEASURED) == text


def test_no_reader_was_ever_fooled_and_the_next_pod_always_published():
    ends = [row[death] for row in MEASURED for death in publish_table.DEATHS]
    assert {one["finds"] for one in ends} == {"old", "none", "new"}
    assert {one["then"] for one in ends} == {"new"}
    assert {one["exitCode"] for one in ends} == {0, 69}
    assert all(one["finds"] == "new" for one in ends if one["exitCode"] == 0)


def test_the_pages_reader_is_not_fooled(tmp_path):
    whole = publish_table.reader()
    assert whole(tmp_path) is None
    (tmp_path / "weights").write_bytes(b"new")
    digest = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"
    manifest = '{"files": {"weights": {"sha256": "%s", "size": 3}}}'
    (tmp_path / "finetune-manifest.json").write_text(manifest % digest)
    assert whole(tmp_path)["files"].keys() == {"weights"}
    (tmp_path / "weights").write_bytes(b"old")
    assert whole(tmp_path) is None

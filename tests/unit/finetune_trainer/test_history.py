"""The figures of every step as JSONL and as CSV."""

import csv
import io
import json

from finetune_trainer import history

LOG = [
    {"loss": 3.5, "grad_norm": float("nan"), "learning_rate": 0.0, "epoch": 0.5, "step": 1},
    {"step": 2, "eval_loss": 3.1},
    {"loss": 2.5, "grad_norm": 1.0, "learning_rate": 1e-4, "entropy": 2.0, "epoch": 1.0, "step": 2},
    {"train_runtime": 9.0, "epoch": 1.0, "step": 2},
]


def test_jsonl_holds_every_entry_as_it_was_logged_and_null_for_what_is_no_number():
    read = [json.loads(line) for line in history.jsonl(LOG).splitlines()]
    assert read == [{**LOG[0], "grad_norm": None}, *LOG[1:]]


def test_csv_has_a_line_for_each_step():
    text = history.table(LOG)
    read = list(csv.DictReader(io.StringIO(text)))
    assert text.splitlines()[0] == ("step,epoch,loss,learning_rate,grad_norm,eval_loss,entropy,train_runtime")
    assert [one["step"] for one in read] == ["1", "2"]
    assert read[0]["grad_norm"] == ""
    assert (read[1]["loss"], read[1]["eval_loss"], read[1]["train_runtime"]) == ("2.5", "3.1", "9.0")


def test_where_nothing_was_logged_both_are_empty():
    assert history.jsonl([]) == ""
    assert history.table([]).strip() == ""


def test_a_series_is_what_was_logged_as_a_number():
    assert history.series(LOG, "eval_loss") == [(2.0, 3.1)]

"""Pods that are killed at named moments, and the pods that go on: rows of docs/interruptions.md, made anew."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import forked_pods
import resume_table
import trainer_runs
import trainer_tiny_model
from resume_table import TRIALS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:.*use of fork"),
]

NAMES = [
    "SFT LoRA, dropout, two processes: SIGKILL to everything in a step (4 of 6)",
    "SFT LoRA, dropout: SIGKILL to everything while a checkpoint is sent (4 of 6)",
    "SFT LoRA, dropout: SIGTERM to the pod while the base model is measured",
    "SFT LoRA, dropout: SIGTERM to the pod while the result is sent",
    "SFT LoRA, dropout, two processes: SIGTERM to the pod while held-out loss is measured (3 of 6)",
    "DPO LoRA: out of memory in step 4 of 6",
]
"""One of each kind: `make resume-table` makes all."""


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_table_is_true(name: str):
    trial = TRIALS[name]
    found = trial.run()
    if trial.shapes_change:
        assert (found["exitCode"], found["pods"]) == (0, 1)
        assert not found["bitwise"]
        assert found["loss"] < resume_table.LOSS
        assert found["weight"] < resume_table.WEIGHT
    else:
        assert found["bitwise"]
        assert found["exitCode"] in ({-9} if trial.fault["do"] == "KillPod" else {0, 75})
    _goes_on_from_what_it_left(trial, found)


def test_a_pod_that_is_told_to_end_while_the_model_is_loaded_trains_no_step():
    found = TRIALS["SFT LoRA, dropout: SIGTERM to the pod while the model is loaded"].run()
    assert (found["exitCode"], found["reason"], found["from"]) == (75, "Interrupted", None)
    assert found["bitwise"]


def _goes_on_from_what_it_left(trial: resume_table.Trial, found: Mapping[str, Any]) -> None:
    """From the start every run is equal."""
    if trial.leaves is not None:
        assert found["from"] == trial.leaves


@pytest.mark.parametrize(("at", "do", "code"), [("Read", "Terminate", 75), ("Tokenise", "KillPod", -9)])
def test_a_prepare_that_is_killed_leaves_the_next_one_free(at: str, do: str, code: int, tmp_path: Path):
    layout = trainer_runs.pod(tmp_path / "pod")
    first = forked_pods.start(layout, None, attempt=1, faults=[{"at": at, "do": do, "attempt": 1}])
    ended = forked_pods.ended(layout, first)
    assert (ended.code, ended.word.get("reason")) == (code, "Interrupted" if code == 75 else None)
    assert not list((layout.claims / "output").rglob("prepared.json"))
    again = forked_pods.ended(layout, forked_pods.start(layout, None, attempt=2))
    assert (again.code, again.word["reason"]) == (0, "Prepared")


def test_a_disk_that_is_really_full_is_told_as_such(tmp_path: Path):
    """A file system of its own, with room for the model and not for a checkpoint beside it."""
    layout = trainer_runs.pod(tmp_path / "pod")
    ready = forked_pods.prepared(layout, "SFT", micro=2)
    room = sum(path.stat().st_size for path in trainer_tiny_model.folder().iterdir()) + CHECKPOINT // 2
    layout.scratch.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", layout.scratch],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        found = forked_pods.ended(layout, forked_pods.start(layout, ready.digest, attempt=1))
    finally:
        subprocess.run(["umount", "-l", layout.scratch], check=True)
    assert (found.code, found.word["reason"]) == (69, "ScratchFull"), json.dumps(found.word)
    assert "a checkpoint, or the result, could not be written" in found.word["message"]


CHECKPOINT = 600_000
"""Bytes that a checkpoint of the tiny model takes while it is written, the tokenizer's files included."""


MEASURED = resume_table.read()


def test_the_page_shows_what_was_measured():
    measured = MEASURED
    assert list(measured) == [name for name in TRIALS if name in measured]
    text = resume_table.PAGE.read_text()
    assert resume_table.page(text, measured) == text


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_keeps_the_pages_promise(name: str):
    trial, found = TRIALS[name], MEASURED[name]
    _goes_on_from_what_it_left(trial, found)
    if not trial.shapes_change:
        assert found["bitwise"]
    elif not trial.throws_dice:
        assert found["loss"] < resume_table.LOSS
        assert found["weight"] < resume_table.WEIGHT

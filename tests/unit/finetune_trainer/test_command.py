"""The command line, as the operator and a curious person use it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import trainer_runs
from finetune_trainer import command, errors, interruption
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import Ending


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "finetune_trainer", *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_help_says_what_there_is_and_what_the_exit_codes_mean():
    done = run("--help")
    assert done.returncode == 0
    for word in ("prepare", "train", "75", "86", "run.json"):
        assert word in done.stdout


def stage(tmp_path: Path, content: str) -> tuple[int, dict]:
    """Exit code and last word of `train` with this run.json."""
    layout = Layout.under(tmp_path)
    layout.run.parent.mkdir(parents=True)
    layout.run.write_text(content)
    arguments = [
        *("train", "--run", str(layout.run), "--attempt", "1", "--prepared", "sha256:" + "0" * 64),
        *("--layout-root", str(tmp_path), "--port", "0"),
    ]
    code = command.run(arguments, interruption.Interruption())
    return code, json.loads(layout.termination_log.read_bytes())


@pytest.fixture(autouse=True)
def the_handler_stays_pytests():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        ("{", "InvalidRun", "run.json is not what this trainer image understands"),
        (
            json.dumps(trainer_runs.document(training={"speed": 11})),
            "InvalidRun",
            "training.speed: Extra inputs",
        ),
        (json.dumps(trainer_runs.document(version=2)), "InvalidRun", "version: Input should be 1"),
    ],
)
def test_a_run_that_is_not_understood_is_64_with_a_last_word(tmp_path, content, reason, said):
    code, word = stage(tmp_path, content)
    assert (code, word["stage"], word["reason"]) == (64, "Train", reason)
    assert said in word["message"]
    assert "result" not in word


def test_whatever_is_unknown_is_our_bug_with_a_last_word(tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(command.supervisor, "train", broken)
    code, word = stage(tmp_path, json.dumps(trainer_runs.document()))
    assert (code, word["reason"]) == (70, "InternalError")
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_earlier_failure_is_told_word_for_word(tmp_path, monkeypatch):
    kept = {"version": 1, "stage": "Train", "reason": "NonFiniteLoss", "message": "at step 3"}

    def failed(*_, **__):
        raise errors.EarlierFailure(64, kept)

    monkeypatch.setattr(command.supervisor, "train", failed)
    assert stage(tmp_path, json.dumps(trainer_runs.document())) == (64, kept)


def test_a_result_is_told(tmp_path, monkeypatch):
    ending = Ending(exit_code=0, reason="Published", message="done", result={"adapter": {"uri": "s3://b/p"}})
    monkeypatch.setattr(command.supervisor, "train", lambda *_, **__: ending)
    code, word = stage(tmp_path, json.dumps(trainer_runs.document()))
    assert (code, word["result"]) == (0, {"adapter": {"uri": "s3://b/p"}})


def test_sigterm_is_raised_once_and_then_only_known():
    told = interruption.Interruption()
    told.install()
    with pytest.raises(errors.Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert told.noted


def test_sigterm_waits_where_it_is_deferred():
    told = interruption.Interruption()
    told.install()
    with told.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(errors.Interrupted):
        told.check()


def test_an_interruption_that_a_library_wrapped_is_no_fault_of_the_author():
    told = interruption.Interruption()
    told.noted = True
    ending = command._ended_by(
        command._cause(errors.UnsupportedModelFiles("the tokenizer cannot be loaded"), told)
    )
    assert (ending.exit_code, ending.reason) == (75, "Interrupted")


def test_an_interruption_that_a_library_swallowed_is_seen_at_the_next_word(tmp_path: Path):
    told = interruption.Interruption()
    writer = command._Checking(tmp_path / "progress.json", attempt=1, told=told)
    writer.tell(message="going on")
    told.noted = True
    with pytest.raises(errors.Interrupted):
        writer.tell(message="still going on")


def test_without_an_interruption_an_error_stays_what_it_is():
    error = errors.UnsupportedModelFiles("the tokenizer cannot be loaded")
    assert command._cause(error, interruption.Interruption()) is error

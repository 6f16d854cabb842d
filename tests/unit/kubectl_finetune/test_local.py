"""The tiny model on this machine, by the trainer's own stages."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import stories
import terminal
import trainer_tiny_model
from finetune_operator.observe.words import LastWord
from kubectl_finetune import errors
from kubectl_finetune.local import stage
from kubectl_finetune.local.folder import Folder

ROOT = terminal.ROOT


@pytest.fixture
def laptop(tmp_path):
    return terminal.laptop(tmp_path)


def test_a_run_says_that_it_is_for_this_machine(laptop):
    done = laptop.type("run", "job.yaml")

    assert done.exit_code == 64
    assert "add --local; on a cluster: kubectl finetune create -f job.yaml" in done.stderr


def test_without_the_trainer_it_is_said_how_to_get_it(laptop, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    done = laptop.type("run", "--local", "job.yaml")

    assert done.exit_code == 69
    assert "uv tool install './cli[local]'" in done.stderr


def test_data_needs_somebodys_tokenizer(laptop):
    done = laptop.type("check", "data.jsonl")

    assert done.exit_code == 64
    assert "--model: nothing says whose tokenizer reads the data" in done.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [("--claim", "--claim data: is not NAME=PATH"), ("--secret", "--secret data: is not NAME=PATH")],
)
def test_a_mount_is_a_pair(laptop, option, said):
    done = laptop.type("run", "--local", "job.yaml", option, "data")

    assert done.exit_code == 64
    assert said in done.stderr


@pytest.mark.slow
def test_a_job_runs_here_and_is_published_once(laptop, tmp_path):
    done = laptop.type("run", "--local", "job.yaml")

    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Preparing  ")
    assert re.match(
        r"Succeeded  Published: 6 steps trained; the LoRA adapter is at file://.*/out; held-out loss",
        lines[-4],
    )
    assert lines[-2] == f"report: {tmp_path}/out/report.html"
    assert "Which number comes after 3?" in (tmp_path / "out/report.html").read_text()
    assert (tmp_path / "out/finetune-manifest.json").exists()

    again = laptop.type("run", "--local", "job.yaml")

    assert again.exit_code == 0
    assert "published by an earlier attempt" in again.stdout
    changed = laptop.type("run", "--local", "job.yaml", "--set", "training.maxSteps=7")
    assert changed.exit_code == 64
    assert "OutputExists" in changed.stderr


def test_a_folder_is_one_runs_at_a_time(laptop, tmp_path):
    with Folder(tmp_path / "counting.finetune").taken():
        done = laptop.type("run", "--local", "job.yaml")

    assert done.exit_code == 75
    assert done.stderr == (
        "error: another run works in counting.finetune at this moment; wait until it has ended, or give another folder with --dir\n"
    )


@pytest.mark.parametrize("to", ["--to=.", "--to=mine", "--set=output.uri=file://mine"])
def test_a_result_does_not_replace_files_of_somebody_else(laptop, tmp_path, to):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my own")

    done = laptop.type("run", "--local", "job.yaml", to)

    assert done.exit_code == 64
    assert "holds other files (" in done.stderr
    assert (tmp_path / "mine" / "README.md").read_text() == "my own"


@pytest.mark.parametrize("name", ["/home/me/keys", "../../evil", "a/b", "", "Big"])
@pytest.mark.parametrize("option", ["--secret", "--claim", "--configmap"])
def test_what_stands_for_something_of_a_cluster_has_a_name_of_one(laptop, tmp_path, option, name):
    (tmp_path / "keys").write_text("KEY=value\n")

    done = laptop.type("run", "--local", "job.yaml", option, f"{name}=keys")

    assert done.exit_code == 64
    assert f"{option} {name}=keys: is not NAME=PATH" in done.stderr
    assert not (tmp_path / "counting.finetune").exists()


def test_an_empty_path_is_no_folder(laptop):
    assert laptop.type("run", "--local", "job.yaml", "--to", "").exit_code == 2


def test_a_refused_job_leaves_no_folder(laptop, tmp_path):
    done = laptop.type(
        "run", "--local", "job.yaml", "--set", "training.epochs=-1", "--set", "training.maxSteps=null"
    )

    assert done.exit_code == 64
    assert not (tmp_path / "counting.finetune").exists()


def test_data_that_is_not_there(laptop):
    done = laptop.type("check", "nothing.jsonl", "--model", "hf://a/b")

    assert (done.exit_code, done.stderr) == (
        66,
        "error: there is no file or folder nothing.jsonl; correct the path\n",
    )


@pytest.mark.slow
def test_whoever_reads_no_longer_ends_the_training_too(laptop, tmp_path):
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(terminal.local_job(maxSteps=400)))
    command = [sys.executable, "-m", "kubectl_finetune", "run", "--local", "job.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "cli" / "src")}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        run.stdout.readline()
        assert _trainers(tmp_path)
        run.stdout.close()

        assert run.wait(60) == 141
        assert run.stderr.read() == ""
    assert _trainers(tmp_path) == []


@pytest.mark.slow
def test_whoever_kills_the_program_ends_the_training_too(laptop, tmp_path):
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(terminal.local_job(maxSteps=400)))
    command = [sys.executable, "-m", "kubectl_finetune", "run", "--local", "job.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "cli" / "src")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as run:
        while "step " not in run.stdout.readline():
            pass
        assert _trainers(tmp_path)
        run.kill()
        run.wait()
        with pytest.raises(errors.NotYet), Folder(tmp_path / "counting.finetune").taken():
            pytest.fail("the folder is the trainer's as long as it lasts")

    stories.wait_until(
        lambda: _trainers(tmp_path), lambda left: left == [], what="the trainer to end", seconds=60
    )


def _trainers(folder):
    """Processes of the trainer that work there."""
    return [process.name for process in Path("/proc").glob("[0-9]*") if _trains_in(process, folder)]


def _trains_in(process, folder):
    try:
        return (
            b"finetune_trainer" in (process / "cmdline").read_bytes()
            and (process / "cwd").readlink() == folder
        )
    except OSError:  # it has ended meanwhile
        return False


@pytest.mark.slow
def test_a_result_that_was_deleted_is_made_anew(laptop, tmp_path):
    first = laptop.type("run", "--local", "job.yaml")
    shutil.rmtree(tmp_path / "out")

    second = laptop.type("run", "--local", "job.yaml")

    assert (first.exit_code, second.exit_code) == (0, 0), second.output
    assert (tmp_path / "out/finetune-manifest.json").exists()


def test_a_full_disk_is_this_machines_and_not_the_pods(laptop, monkeypatch):
    word = LastWord("Prepare", "ScratchFull", "spec.resources.scratch: the pod's scratch disk is full", None)
    monkeypatch.setattr(stage, "run", lambda *_, **__: (69, word))

    done = laptop.type("run", "--local", "job.yaml")

    assert done.exit_code == 74
    assert done.stderr.startswith(
        "error: the disk is full at counting.finetune; make room and run the same command"
    )


@pytest.mark.slow
def test_ctrl_c_saves_a_checkpoint_from_which_the_same_command_goes_on(laptop, tmp_path):
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(terminal.local_job(maxSteps=150)))
    command = [sys.executable, "-m", "kubectl_finetune", "run", "--local", "job.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "cli" / "src")}
    log = tmp_path / "log"
    with log.open("w") as written:
        first = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=written, stderr=subprocess.STDOUT
        )
    stories.wait_until(
        log.read_text, lambda text: re.search(r"step [1-9]\d*/150", text), what="a step", seconds=120
    )
    first.send_signal(signal.SIGINT)

    assert first.wait(60) == 75
    stopped = re.search(
        r"error: stopped from outside \(SIGTERM\) at step (\d+) of 150, after a checkpoint; .*run the same command again",
        log.read_text(),
    )
    assert stopped, log.read_text()

    second = laptop.type("run", "--local", "job.yaml")

    assert second.exit_code == 0, second.output
    assert f"step {stopped[1]} of 150" in second.stdout, "it begins where it was stopped"
    assert len(list((tmp_path / "counting.finetune/logs").glob("prepare-*"))) == 1, (
        "what was prepared is not prepared again"
    )


@pytest.mark.slow
def test_data_is_judged_before_anything_runs(laptop, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"messages": 3}\n')
    model = str(trainer_tiny_model.folder())

    good = laptop.type("check", "data.jsonl", "--model", model)
    bad = laptop.type("check", "bad.jsonl", "--model", model)
    report = json.loads(laptop.type("check", "job.yaml", "-o", "json").stdout)

    assert good.stdout.startswith("# Data report\n\n40 rows read")
    assert (bad.exit_code, bad.stderr) == (
        64, "error: InvalidRow: bad.jsonl line 1: messages is a number; it must be a list of {role, content}\n",
    )  # fmt: skip
    assert report["result"]["dataset"]["rowsRead"] == 40


@pytest.mark.slow
def test_an_estimate_says_memory_by_its_parts_and_whether_it_fits(laptop):
    fits = laptop.type("estimate", "job.yaml", "--gpu-memory", "80Gi", "--teraflops", "900")
    does_not = laptop.type("estimate", "job.yaml", "--gpu-memory", "1Mi")

    assert fits.exit_code == 0, fits.output
    assert fits.stdout.splitlines()[0].endswith("of each GPU")
    assert "run:    6 steps, 4 rows per step, 2 rows per forward pass" in fits.stdout
    assert does_not.exit_code == 64
    assert "ModelDoesNotFit" in does_not.stderr

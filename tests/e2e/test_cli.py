"""`kubectl finetune` on a real cluster: a job made, followed, paused, judged and run again, without a line of YAML."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import openai
import pytest
import yaml

import pseudo_terminal
import real_cluster
import stories
import terminal

TINY = (
    *("--gpus", "0", "--set", "training={maxSteps: 4, globalBatchSize: 4, maxLength: 128}", "--set", "tuning.lora.rank=4"),
    *("--set", "resources.cpu=500m", "--set", "resources.memory=2Gi", "--set", "resources.scratch=2Gi"),
    *("--set", "resources.prepare={cpu: 250m, memory: 1536Mi}", "--set", "dataset.evalFraction=0.1"),
)  # fmt: skip
ELSEWHERE = ("--model", "hf://a/b", "--data", "s3://a/b", "--to", "s3://a/c")
pytestmark = pytest.mark.timeout(1200)


class Shell:
    """A terminal of a user with this kubeconfig."""

    def __init__(self, kubeconfig, namespace, folder, kubectl="kubectl"):
        self.kubeconfig, self.namespace, self.folder = str(kubeconfig), namespace, folder
        path = f"{Path(kubectl).parent}{os.pathsep}{os.environ['PATH']}"
        source = str(real_cluster.ROOT / "cli" / "src")
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": source, "PYTHONUNBUFFERED": "1"}

    def command(self, *words, local=False):
        """`local`: one that knows no cluster."""
        where = () if local else ("-n", self.namespace, "--kubeconfig", self.kubeconfig)
        return [sys.executable, "-m", "kubectl_finetune", *words, *where]

    def run(self, *words, seconds=600, local=False):
        return subprocess.run(
            self.command(*words, local=local),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def must(self, *words, seconds=600, local=False):
        done = self.run(*words, seconds=seconds, local=local)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def create(self, name, bucket, *words):
        where = (
            "--data",
            f"s3://{bucket.name}/data/talk.jsonl",
            "--to",
            f"s3://{bucket.name}/adapters/{self.namespace}/{name}",
        )
        return self.must(
            "create",
            name,
            "--model",
            f"s3://{bucket.name}/models/tiny",
            *where,
            "--secret",
            "bucket",
            *TINY,
            *words,
        )


@pytest.fixture
def shell(kube, namespace, tmp_path):
    return Shell(kube.kubeconfig, namespace, tmp_path, kube.tools["kubectl"])


def test_a_new_author_comes_from_questions_to_a_chat_without_a_line_of_yaml(shell, bucket, monkeypatch):
    """Everything is typed at a terminal of 80 x 24, a slip included."""
    monkeypatch.setenv("PATH", shell.environment["PATH"])
    asyncio.run(_a_new_authors_hour(shell, bucket))


async def _a_new_authors_hour(shell, bucket):
    def sit(*words):
        return pseudo_terminal.Seated(
            terminal.Terminal(shell.folder, Path(shell.kubeconfig)), *words, "-n", shell.namespace
        )

    form = sit("create", *TINY)
    for question, answer in (
        ("Name of the job", "My first"),
        ("must hold only a-z", "first"),
        ("Base model", f"s3://{bucket.name}/models/tiny"),
        ("Training data", f"s3://{bucket.name}/data/talk.jsonl"),
        ("Method", ""),
        ("Where the result goes", f"s3://{bucket.name}/adapters/{shell.namespace}/first"),
        ("Secret with", "bucket"),
        ("Create it", "estimate"),
        ("rows per step", "yes"),
    ):
        await form.shows(question)
        form.press(f"{answer}\n")
    assert await form.ends() == 0, form.text
    assert "first is created; `kubectl finetune watch first` follows it" in form.text

    watching = sit("watch", "first")
    assert await watching.ends(seconds=600) == 0, watching.text
    assert watching.is_as_before
    seen = [line.rstrip() for line in watching.screen.display]
    assert re.match(r"first  Succeeded  ", seen[0]), "the whole of it is still on the screen"
    assert any(line.startswith("next:    `kubectl finetune report first`") for line in seen)

    chat = sit("chat", "first", "--max-new-tokens", "4")
    await chat.shows("you>", seconds=300)
    chat.press("What is 2 plus 2?\n")
    await chat.shows("you>", times=2)
    chat.press(pseudo_terminal.CTRL_D)
    assert await chat.ends() == 0, chat.text
    assert re.search(r"^base +tuned *$", chat.text, re.MULTILINE)


def test_one_file_runs_on_a_laptop_and_then_on_the_cluster_unchanged(shell, bucket, kube):
    """The same rows, settings and steps, and as good a result."""
    place = f"s3://{bucket.name}/adapters/{shell.namespace}/both"
    words = (
        "--model",
        f"s3://{bucket.name}/models/tiny",
        "--data",
        f"s3://{bucket.name}/data/talk.jsonl",
        "--to",
        place,
    )
    (shell.folder / "job.yaml").write_text(
        shell.must("create", "both", *words, "--secret", "bucket", *TINY, "--dry-run")
    )
    secret = bucket.secret(shell.namespace)["stringData"]
    (shell.folder / "keys").write_text("".join(f"{name}={value}\n" for name, value in secret.items()))

    shell.must("run", "--local", "job.yaml", "--secret", "bucket=keys", "--to", "here", local=True)
    shell.must("create", "-f", "job.yaml")
    shell.must("watch", "both")

    here = json.loads((shell.folder / "here" / "finetune-manifest.json").read_text())
    there = json.loads(bucket.get(f"adapters/{shell.namespace}/both/finetune-manifest.json"))
    run = json.loads((shell.folder / "both.finetune" / "pod" / "etc" / "run.json").read_text())
    (config_map,) = kube.list("configmaps", shell.namespace, "app.kubernetes.io/managed-by=finetune-operator")
    decided = json.loads(config_map["data"]["run.json"])
    same = ("method", "model", "dataset", "tuning", "training", "evaluation", "checkpoint")
    assert {part: run[part] for part in same} == {part: decided[part] for part in same}
    assert (here["data"], here["baseModel"]) == (there["data"], there["baseModel"])
    losses = [
        [one["result"]["evaluation"][side]["loss"] for side in ("base", "tuned")] for one in (here, there)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("size", ["8k", "60k", "1600k", "3m"])
def test_a_disk_that_is_full_from_the_start_or_becomes_so(cluster, tmp_path, size):
    """A small one, in a mount namespace of its own: nothing of it stays."""
    if not cluster["nodes"]:
        pytest.skip("mounts a small disk, for which the local cluster's rights are needed")
    terminal.laptop(tmp_path)
    (tmp_path / "small").mkdir()
    run = f"{sys.executable} -m kubectl_finetune run --local ../job.yaml --to out"
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            f"mount -t tmpfs -o size={size} none small && cd small && exec {run}",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(real_cluster.ROOT / "cli" / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 74, done.stderr
    assert re.fullmatch(
        r"error: the disk is full at \S+; make room and run the same command again, or name another place\n",
        done.stderr,
    )


def test_from_flags_to_a_report(shell, bucket):
    made = yaml.safe_load(shell.create("first", bucket, "--dry-run"))
    assert shell.must("list") == "", "a dry run makes nothing"
    shell.create("first", bucket)
    created = json.loads(shell.must("status", "first", "-o", "json"))["spec"]
    assert {part: created[part] for part in ("model", "tuning", "output")} == {
        "model": {"attention": "Auto", "trustRemoteCode": False, **made["spec"]["model"]},
        "tuning": created["tuning"] | {"lora": created["tuning"]["lora"] | {"rank": 4}},
        "output": created["output"] | made["spec"]["output"],
    }

    followed = shell.must("watch", "first").splitlines()

    assert followed[-1].startswith("Succeeded  Published: ")
    assert re.search(r"^first +Succeeded +4/4 ", shell.must("list"), re.MULTILINE)
    assert "step 4/4 loss" in shell.must("logs", "first", "--stage", "train")
    status = shell.must("status", "first")
    assert max(map(len, status.splitlines())) <= 80
    assert "result:  held-out loss" in status
    assert shell.must("report", "first", "--to", "report.html") == "report.html\n"
    assert "<html" in (shell.folder / "report.html").read_text()

    shell.must("retry", "first", "--as", "second", "--set", "training.learningRate=0.001")
    shell.must("watch", "second")
    differing = {line["field"] for line in json.loads(shell.must("diff", "first", "second", "-o", "json"))}
    assert {"spec.training.learningRate", "spec.output.uri", "status.resolved.learningRate"} <= differing


def test_the_result_is_talked_with_in_a_pod_that_goes_afterwards(shell, bucket, kube):
    shell.create("talker", bucket)
    shell.must("watch", "talker")

    chat = shell.must("chat", "talker", "--prompt", "Hello", "--max-new-tokens", "4", "-o", "json")
    said = json.loads(chat)
    with subprocess.Popen(
        shell.command("serve", "talker", "--in-cluster", "--port", "0"),
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        try:
            address = serving.stdout.readline().split()[0]
            with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
                models = [one.id for one in client.models.list()]
                talk = [{"role": "user", "content": "Hello"}]
                answers = {
                    model: client.chat.completions.create(model=model, messages=talk, max_tokens=4)
                    for model in models
                }
        finally:
            serving.send_signal(signal.SIGINT)
            code = serving.wait(60)

    assert set(said) == {"prompt", "base", "tuned"}
    assert models == ["talker", "base"]
    served = {model: one.choices[0].message.content for model, one in answers.items()}
    assert served == {"talker": said["tuned"], "base": said["base"]}
    assert code == 130
    stories.wait_until(
        lambda: kube.list("pods", shell.namespace, "app.kubernetes.io/component=talk"),
        lambda pods: pods == [],
        what="the pods to be gone",
        seconds=30,
    )


def test_paused_and_gone_on(shell, bucket):
    shell.create("patient", bucket, "--set", "training.maxSteps=1000", "--set", "checkpoint.everySteps=50")
    stories.wait_until(
        lambda: json.loads(shell.must("status", "patient", "-o", "json")),
        lambda job: job["status"].get("state") == "Running",
        what="it to run",
        seconds=300,
    )
    shell.must("suspend", "patient")
    stories.wait_until(
        lambda: shell.must("list"), lambda text: " Suspended " in text, what="it to be paused", seconds=200
    )
    assert "kubectl finetune resume patient" in " ".join(shell.must("status", "patient").split())

    shell.must("resume", "patient")

    assert shell.must("watch", "patient").splitlines()[-1].startswith("Succeeded  ")


def test_a_job_that_fails_is_told_and_run_again_with_what_was_wrong_put_right(shell, bucket):
    shell.create("wrong", bucket, "--set", f"dataset.train=[{{uri: s3://{bucket.name}/data/nothing.jsonl}}]")

    failed = shell.run("watch", "wrong")

    assert failed.returncode == 1
    assert "DataFileNotFound" in failed.stderr
    shell.must("retry", "wrong", "--set", f"dataset.train=[{{uri: s3://{bucket.name}/data/talk.jsonl}}]")
    shell.must("watch", "wrong-2")


def test_what_the_cluster_refuses_is_one_sentence(shell, bucket, kube, tmp_path):
    shell.create("taken", bucket, "--set", "runPolicy.suspend=true")
    kube.kubectl("create", "serviceaccount", "nobody", "-n", shell.namespace)
    token = kube.kubectl("create", "token", "nobody", "-n", shell.namespace).strip()
    config = yaml.safe_load(kube.kubectl("config", "view", "--raw", "-o", "yaml"))
    config["users"] = [{"name": one["name"], "user": {"token": token}} for one in config["users"]]
    (tmp_path / "nobody").write_text(yaml.safe_dump(config))
    nobody = Shell(tmp_path / "nobody", shell.namespace, tmp_path)

    endings = [
        (nobody.run("list"), 77, "you may not list FineTuneJobs"),
        (nobody.run("suspend", "taken"), 77, "you may not read the FineTuneJob 'taken'"),
        (shell.run("status", "nothing"), 66, "there is no FineTuneJob 'nothing'"),
        (shell.run("report", "taken"), 75, "taken has not ended yet"),
        (shell.run("retry", "taken"), 75, "taken has not ended yet"),
        (shell.run("create", "taken", *ELSEWHERE), 64, "already exists; choose another name"),
    ]  # fmt: skip

    assert [(done.returncode, said in done.stderr, done.stderr.count("\n")) for done, _, said in endings] == [
        (code, True, 1) for _, code, _ in endings
    ]

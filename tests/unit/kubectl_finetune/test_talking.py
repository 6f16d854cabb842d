"""A real result, made on this machine, is talked with: in the terminal and by the OpenAI client."""

import json
import os
import re
import subprocess
import sys

import openai
import pytest

import kube_objects
import stories
import terminal
import trainer_s3

pytestmark = pytest.mark.slow
VERSITYGW = trainer_s3.binary()
QUESTION = "Which number comes after 3?"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on this machine that has learned something."""
    folder = tmp_path_factory.mktemp("laptop")
    laptop = terminal.laptop(folder)
    done = laptop.type("run", "--local", "job.yaml", "--set", "training.maxSteps=30")
    assert done.exit_code == 0, done.output
    return laptop


def test_both_answer_and_the_tuned_one_has_learned(trained):
    done = trained.type(
        "chat", "counting.finetune", "--prompt", QUESTION, "--max-new-tokens", "8", "-o", "json"
    )

    said = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert said["tuned"].startswith("After"), said
    assert not said["base"].startswith("After")


def test_each_line_of_a_pipe_is_a_question_and_the_same_seed_says_the_same(trained):
    words = ("chat", "out", "--only", "tuned", "--temperature", "1", "--seed", "7", "--max-new-tokens", "6")

    first, second = (trained.type(*words, stdin=f"{QUESTION}\n\nAnd then?\n") for _ in range(2))

    assert first.exit_code == 0, first.output
    assert len(re.findall(r"^tuned: ", first.stdout, re.MULTILINE)) == 2
    assert first.stdout == second.stdout


def test_the_openai_client_talks_with_it(trained):
    command = [
        sys.executable,
        "-m",
        "kubectl_finetune",
        "serve",
        "counting.finetune",
        "--port",
        "0",
        "--engine",
        "transformers",
    ]
    environment = {**os.environ, "PYTHONPATH": str(terminal.ROOT / "cli" / "src"), "PYTHONUNBUFFERED": "1"}
    with (trained.folder / "served").open("w") as log:
        server = subprocess.Popen(
            command, cwd=trained.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        said = stories.wait_until(
            (trained.folder / "served").read_text,
            lambda text: "/v1 serves" in text or server.poll() is not None,
            what="the server",
            seconds=120,
        )
        client = openai.OpenAI(base_url=said[said.index("http") :].split()[0], api_key="none", max_retries=0)
        given = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 8}
        whole = client.chat.completions.create(model="counting", **given).choices[0].message.content
        pieces = client.chat.completions.create(model="counting", stream=True, **given)
        base = client.chat.completions.create(model="base", **given).choices[0].message.content
        streamed = "".join(one.choices[0].delta.content or "" for one in pieces)
    finally:
        server.terminate()
        server.wait(30)
    assert whole.startswith("After")
    assert streamed.strip() == whole
    assert base != whole


@pytest.mark.skipif(VERSITYGW is None, reason="needs versitygw, which `make cluster` builds")
async def test_a_jobs_result_is_fetched_from_its_bucket_with_the_secret_of_the_cluster(
    trained, server, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shell = terminal.Terminal.at(tmp_path, server.url)
    with trainer_s3.serving(VERSITYGW, tmp_path / "s3") as s3:
        (s3.bucket("team-a") / "adapters").mkdir()
        (trained.folder / "out").rename(s3.root / "team-a/adapters/support-bot")
        (trained.folder / "out").symlink_to(s3.root / "team-a/adapters/support-bot")
        server.put("secrets", kube_objects.secret("bucket", **s3.keys))
        terminal.job(server, status=terminal.PUBLISHED)

        report = await shell.run("report", "support-bot", "--to", "r.html")
        talk = await shell.run("chat", "support-bot", "--here", "--prompt", QUESTION, "--max-new-tokens", "8")

    assert report.exit_code == talk.exit_code == 0, report.output + talk.output
    assert QUESTION in (tmp_path / "r.html").read_text()
    assert "tuned: After" in talk.stdout


def test_a_folder_without_a_result_is_said(tmp_path):
    done = terminal.Terminal(tmp_path, tmp_path / "none").type("chat", ".", "--prompt", "x")

    assert done.exit_code == 66
    assert "holds no result (there is no finetune-manifest.json)" in done.stderr

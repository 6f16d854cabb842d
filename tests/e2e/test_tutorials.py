"""The five examples that retell tutorials, made small: each keeps what its page promises.

All their jobs run side by side. What is replaced in their YAML: `tutorials.small`.
"""

import json
import os
import subprocess
import sys

import pytest
from transformers import AutoTokenizer

import queues
import real_cluster
import stories
import trainer_tiny_model
import tutorials
from timeline import Timeline

pytestmark = pytest.mark.timeout(1200)
SECONDS = 900


class Tutorials:
    """Their jobs, in one namespace, and what came of them."""

    def __init__(self, kube, bucket, namespace, rows):
        self.kube, self.bucket, self.namespace = kube, bucket, namespace
        self.rows = rows
        """Each file's rows, by `EXAMPLE/FILE`."""
        self.timeline = Timeline(kube, namespace)
        self.waited: set[str] = set()
        """What jobs said that waited for another one."""

    def succeeded(self, name):
        """The status of the job, once it has ended well."""

        def over(job):
            accepted = stories.condition(job, "Accepted")
            if accepted.get("reason") == "WaitingForJob":
                self.waited.add(accepted["message"])
            return stories.ended(job)

        job = self.timeline.wait(name, over, "end", seconds=SECONDS)
        assert job["status"]["state"] == "Succeeded", stories.says(job)
        return job["status"]

    def result(self, name, file):
        """A file of its result."""
        return self.bucket.get(f"adapters/{self.namespace}/{name}/{file}").decode()

    def held_out(self, name):
        """The questions of its held-out rows that were answered: `[{role, content}]` each."""
        samples = json.loads(self.result(name, "samples.json"))
        return [one["messages"] for one in samples if one["source"] == "held-out"]


@pytest.fixture(scope="module")
def ran(cluster, kube, bucket, make_namespace, tmp_path_factory):
    if not cluster["nodes"]:
        pytest.skip("needs a node with pretended GPUs; the local cluster has one")
    namespace = make_namespace("tutorials")
    rows, jobs = {}, []
    for name in tutorials.ROWS:
        for file in tutorials.make_data(name, tmp_path_factory.mktemp(name)):
            bucket.put(f"data/{name}/{file.name}", file.read_bytes())
            rows[f"{name}/{file.name}"] = [json.loads(line) for line in file.read_text().splitlines()]
        data = f"data/{name}"
        jobs += [
            tutorials.small(job, namespace, bucket=bucket.name, data=data) for job in tutorials.jobs(name)
        ]
    kube.apply(tutorials.PROFILE)
    kube.apply(*jobs)
    yield Tutorials(kube, bucket, namespace, rows)
    kube.kubectl("delete", "finetuneprofile", tutorials.PROFILE["metadata"]["name"], "--wait=false")


def test_dpo_goes_on_from_qlora_and_comes_out_merged(ran, tmp_path):
    second = ran.succeeded("library-dpo")
    first = ran.succeeded("library-sft")

    assert ran.waited == {
        "spec.model.adapterFrom.jobRef: FineTuneJob 'library-sft', whose adapter is needed, has not ended yet (this job waits)"
    }
    assert (first["adapter"]["type"], second["adapter"]["type"]) == ("QLoRA", "QLoRA")
    assert (first["dataset"]["rows"], first["dataset"]["evalRows"]) == (90, 10)
    assert (second["dataset"]["rows"], second["dataset"]["evalRows"]) == (198, 22)
    few, *_ = second["dataset"]["advice"]
    assert few == (
        "198 rows for DPO is not much: the model will learn the rows by heart rather than the task; a thousand are a good start"
    )
    evaluation = second["evaluation"]
    assert round(evaluation["start"]["loss"], 4) == 0.6931
    assert evaluation["tuned"]["loss"] < evaluation["start"]["loss"]
    assert evaluation["tuned"]["other"]["rewardAccuracy"] > 0.6, "the gate"
    assert second["adapter"]["merged"]
    assert json.loads(ran.result("library-dpo", "merged/config.json"))["model_type"] == "qwen3"
    assert chat(ran, "library-dpo", tmp_path).keys() == {"prompt", "base", "tuned"}


def chat(ran, name, folder):
    """What `kubectl finetune chat` says when it is asked once."""
    asked = ("chat", name, "-n", ran.namespace, "--kubeconfig", ran.kube.kubeconfig, "-o", "json")
    how = ("--here", "--base", str(trainer_tiny_model.folder()), "--max-new-tokens", "4")
    done = subprocess.run(
        [sys.executable, "-m", "kubectl_finetune", *asked, *how, "--prompt", "What does shutil.copytree do?"],
        env={**os.environ, "PYTHONPATH": str(real_cluster.ROOT / "cli/src"), "XDG_CACHE_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_alpaca_rows_are_left_out_as_its_page_says(ran):
    status = ran.succeeded("python-reference")

    dataset = status["dataset"]
    assert dataset["dropped"] == {
        "Blocklisted": 3,
        "EmptyAnswer": 6,
        "EmptyPrompt": 2,
        "ExactDuplicate": 8,
        "NearDuplicate": 7,
        "Repetitive": 3,
        "TooShort": 3,
    }
    page = (tutorials.FOLDER / "alpaca/README.md").read_text()
    assert all(f"| `{reason}` | {count} |" in page for reason, count in dataset["dropped"].items())
    assert (dataset["rowsRead"], dataset["rows"], dataset["evalRows"]) == (230, 158, 40)
    assert "(a copy of python-reference.jsonl line " in ran.result("python-reference", "data-report.md")
    assert {"rouge1", "rouge2", "rougeL"} <= status["evaluation"]["tuned"]["other"].keys()


def test_of_a_chat_every_turn_of_the_assistant_is_learned_and_nothing_else(ran):
    dataset = ran.succeeded("python-prompt")["dataset"]
    single, multi = ran.rows["multi-turn-chat/single.jsonl"], ran.rows["multi-turn-chat/multi.jsonl"]
    chats = [as_messages(row) for row in single] + [row["messages"] for row in multi]
    held_out = ran.held_out("python-prompt")

    learned = [talk for talk in chats if talk[:-1] not in held_out]

    assert (dataset["format"], dataset["rowsRead"]) == ("alpaca, messages", 140)
    assert not dataset.get("dropped")
    assert (len(learned), len(held_out)) == (dataset["rows"], dataset["evalRows"]) == (126, 14)
    assert dataset["supervisedTokens"] == tokens(learned)


def as_messages(row):
    return [
        {"role": "system", "content": row["system"]},
        {"role": "user", "content": row["instruction"]},
        {"role": "assistant", "content": row["output"]},
    ]


def tokens(chats):
    """Of the assistant's words and the marker that ends each turn; not of turns that have weight 0."""
    tokenizer = AutoTokenizer.from_pretrained(trainer_tiny_model.folder())
    said = [
        turn["content"]
        for messages in chats
        for turn in messages
        if turn["role"] == "assistant" and turn.get("weight") != 0
    ]
    return sum(len(tokenizer.encode(content, add_special_tokens=False)) + 1 for content in said)


def test_a_file_of_openai_is_learned_but_for_its_turns_of_weight_0(ran):
    dataset = ran.succeeded("help-desk")["dataset"]
    chats = [row["messages"] for row in ran.rows["from-openai/training.jsonl"]]

    assert (dataset["format"], dataset["rows"], dataset["evalRows"]) == ("messages", 98, 26)
    assert dataset["supervisedTokens"] == tokens(chats)


def test_four_pretended_gpus_are_held_while_korean_titles_are_learned(ran):
    status = ran.succeeded("notice-titles")
    selector = "finetune.dev/job-name=notice-titles,finetune.dev/stage=train"

    (pod,) = ran.kube.list("pods", ran.namespace, selector)

    (trainer,) = [one for one in pod["spec"]["containers"] if one["name"] == "trainer"]
    assert trainer["resources"]["limits"][queues.GPU] == "4"
    assert status["usage"]["gpuSeconds"] == pytest.approx(4 * status["usage"]["seconds"], rel=0.01)
    assert (status["dataset"]["format"], status["dataset"]["rows"], status["dataset"]["evalRows"]) == (
        "template",
        300,
        60,
    )
    evaluation = status["evaluation"]
    assert evaluation["tuned"]["loss"] < evaluation["base"]["loss"]
    assert {"rougeL", "chrf", "exactMatch"} <= evaluation["tuned"]["other"].keys()
    documents = {row["document"] for row in ran.rows["document-to-title/held-out.jsonl"]}
    asked = [messages[-1]["content"] for messages in ran.held_out("notice-titles")]
    assert {prompt.removeprefix("다음 글의 제목을 쓰세요.\n\n") for prompt in asked} <= documents
    assert asked

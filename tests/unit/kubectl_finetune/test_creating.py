import json

import pytest
import yaml

import contract_runs
import examples
import fake_api_server
import kube_objects
from finetune_operator.api import schema
from finetune_operator.api.job import FineTuneJobSpec
from kubectl_finetune import errors
from kubectl_finetune.job import manifest, rules

SHORT = (
    "--model",
    "hf://Qwen/Qwen3-0.6B",
    "--data",
    "s3://team-a/t.jsonl",
    "--to",
    "s3://team-a/out",
    "--secret",
    "bucket",
)
SPEC = {
    "model": {"uri": "hf://Qwen/Qwen3-0.6B"},
    "dataset": {"train": [{"uri": "s3://team-a/t.jsonl"}]},
    "output": {"uri": "s3://team-a/out", "credentialsSecretRef": {"name": "bucket"}},
}  # fmt: skip


async def test_flags_make_a_job(server, shell):
    done = await shell.run(
        "create",
        "support-bot",
        *SHORT,
        "--method",
        "dpo",
        "--set",
        "training.learningRate=0.0001",
        "--gpus",
        "2",
    )

    assert done.exit_code == 0, done.output
    assert server.get("finetunejobs", "support-bot")["spec"] == {
        **SPEC, "method": "DPO", "training": {"learningRate": 0.0001}, "resources": {"gpusPerNode": 2},
    }  # fmt: skip


async def test_a_dry_run_prints_yaml_that_can_be_applied_and_asks_no_cluster(server, shell):
    done = await shell.run("create", "support-bot", *SHORT, "--dry-run")

    assert done.exit_code == 0, done.output
    assert yaml.safe_load(done.stdout) == manifest.of("support-bot", SPEC)
    assert server.requests == []


async def test_what_a_dry_run_prints_can_be_created(server, shell):
    text = (await shell.run("create", "support-bot", *SHORT, "--dry-run")).stdout

    done = await shell.run("create", "-f", "-", stdin=text)

    assert done.exit_code == 0, done.output
    assert server.get("finetunejobs", "support-bot")["spec"] == SPEC


FORM = {
    "name": "support-bot",
    "model": "hf://Qwen/Qwen3-0.6B",
    "data": "s3://team-a/t.jsonl",
    "method": "",
    "output": "s3://team-a/out",
    "secret": "bucket",
    "GPUs": "",
    "agreed": "yes",
}
"""What is asked for, in this order, and right answers."""


async def fill_in(shell, *words, **wrong):
    """Type the form's answers; `wrong` ones come before the right one to the same question."""
    answers = [one for question, right in FORM.items() for one in (*wrong.get(question, ()), right)]
    return await shell.run("create", "--ask", *words, stdin="\n".join(answers) + "\n")


async def test_the_namespace_of_a_file_counts_where_none_is_typed(server, shell):
    text = (await shell.run("create", "support-bot", *SHORT, "--dry-run")).stdout
    text = text.replace("  name: support-bot\n", "  name: support-bot\n  namespace: team-b\n")

    done = await shell.run("create", "-f", "-", stdin=text)

    assert done.exit_code == 0, done.output
    assert server.get("finetunejobs", "support-bot", "team-b")["spec"] == SPEC


async def test_the_form_asks_for_what_is_not_said(server, shell):
    done = await fill_in(shell, "-o", "json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["spec"] == server.get("finetunejobs", "support-bot")["spec"]
    assert server.get("finetunejobs", "support-bot")["spec"] == {**SPEC, "method": "SFT"}


@pytest.mark.parametrize(
    ("question", "wrong", "said"),
    [
        ("name", "Support Bot", 'metadata.name: "Support Bot" must hold only a-z'),
        ("model", "Qwen/Qwen3-0.6B", "spec.model.uri: must be a URI that starts with one of: hf://, s3://"),
        ("model", "oci://a/b", "spec.model.uri: oci://a/b is not supported yet"),
        ("data", "tickets.jsonl", "spec.dataset.train[0].uri: must be a URI that starts with one of"),
        ("method", "PPO", "Error: 'PPO' is not one of 'sft', 'dpo', 'orpo', 'kto'."),
        ("output", "hf://a/b", "spec.output.uri: must be a URI that starts with one of: s3://"),
        ("secret", "My Keys", "spec.output.credentialsSecretRef.name: "),
        ("GPUs", "many", "spec.resources.gpusPerNode: must be a whole number"),
        ("GPUs", "-1", "spec.resources.gpusPerNode: "),
    ],
)  # fmt: skip
async def test_a_wrong_answer_is_told_at_once_and_asked_for_again(server, shell, question, wrong, said):
    done = await fill_in(shell, **{question: [wrong]})

    assert done.exit_code == 0, done.output
    assert said in done.stderr
    assert server.get("finetunejobs", "support-bot")["spec"] == {**SPEC, "method": "SFT"}


async def test_the_form_shows_the_job_and_creates_it_only_where_that_is_agreed(server, shell):
    answers = [*list(FORM.values())[:-1], "no"]

    done = await shell.run("create", "--ask", stdin="\n".join(answers) + "\n")

    assert (done.exit_code, done.stdout) == (0, "")
    shown = done.stderr[done.stderr.index("apiVersion:") : done.stderr.index("\n\nCreate it")]
    assert yaml.safe_load(shown) == manifest.of("support-bot", {**SPEC, "method": "SFT"})
    assert done.stderr.endswith("nothing is created\n")
    assert server.requests == []


async def test_what_the_flags_say_is_not_asked_for(server, shell):
    done = await shell.run(
        "create", "support-bot", *SHORT, "--method", "SFT", "--gpus", "0", "--ask", stdin="yes\n"
    )

    assert done.exit_code == 0, done.output
    assert "Name of the job" not in done.stderr
    assert server.get("finetunejobs", "support-bot")["spec"]["resources"] == {"gpusPerNode": 0}


async def test_a_part_that_is_said_in_part_is_asked_for_and_kept(server, shell):
    done = await fill_in(shell, "--set", "dataset.evalFraction=0.1", "--set", "resources.cpu=2")

    assert done.exit_code == 0, done.output
    made = server.get("finetunejobs", "support-bot")["spec"]
    assert made["dataset"] == {**SPEC["dataset"], "evalFraction": 0.1}
    assert made["resources"] == {"cpu": 2}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("training.epochs=-1", "spec.training.epochs: must be greater than 0"),
        ("model=hf://x/y", "spec.model: must be a mapping of fields"),
        ("dataset=5", "spec.dataset: must be a mapping of fields"),
        ("foo=1", "spec.foo: there is no such field"),
    ],
)
async def test_what_no_answer_mends_is_told_before_the_first_question(shell, setting, said):
    done = await shell.run("create", "--ask", "--set", setting, stdin="")

    assert done.exit_code == 64
    assert said in done.stderr
    assert "Name of the job" not in done.stderr


async def test_a_claim_needs_no_keys(server, shell):
    words = (
        "--model",
        "pvc://data/m",
        "--data",
        "pvc://data/t.jsonl",
        "--to",
        "pvc://data/out",
        "--gpus",
        "0",
    )

    done = await shell.run("create", "bot", *words, "--ask", stdin="SFT\nyes\n")

    assert done.exit_code == 0, done.output
    assert "Secret" not in done.stderr


async def test_a_form_that_is_left_creates_nothing(server, shell):
    done = await shell.run("create", "--ask", stdin="support-bot\n")

    assert done.exit_code == 130
    assert done.stderr.endswith("error: stopped; nothing more is done\n")
    assert server.requests == []


@pytest.mark.parametrize("dry", [True, False])
async def test_an_estimate_stands_beside_the_job(server, shell, monkeypatch, dry):
    server.put("secrets", kube_objects.secret("bucket", AWS_REGION="eu"))
    asked = []

    def needs(made, *, beside, at_hand):
        asked.append((made["spec"], at_hand.secrets))
        return {"estimate": {"memoryBytes": 13e9, "durationSeconds": 60}, "resolved": {"totalSteps": 9}}

    monkeypatch.setattr("kubectl_finetune.commands.judging.needs", needs)

    done = await shell.run("create", "support-bot", *SHORT, "--estimate", *["--dry-run"] * dry)

    assert done.exit_code == 0, done.output
    assert asked == [(SPEC, {"bucket": {"AWS_REGION": "eu"}})]
    assert "memory: 12.1 GiB of each process\ntime:   1m\nrun:    9 steps\n" in done.stderr
    assert (yaml.safe_load(done.stdout) == manifest.of("support-bot", SPEC)) is dry


async def test_an_estimate_without_a_right_to_the_secret_takes_this_machines_keys(server, shell, monkeypatch):
    server.faults.append(fake_api_server.Fault("GET", "secrets", 403, message="no secrets for you"))
    asked = []
    monkeypatch.setattr(
        "kubectl_finetune.commands.judging.needs",
        lambda *_, at_hand, **__: asked.append(at_hand.secrets) or {"estimate": None, "resolved": None},
    )

    done = await shell.run("create", "support-bot", *SHORT, "--estimate")

    assert (done.exit_code, asked) == (0, [{}])
    assert "trying with this machine's own keys instead of the Secret 'bucket': you may not" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bot"], "give --model, --data, --to too"),
        (["Bot", *SHORT], 'metadata.name: "Bot" must hold only a-z'),
        (["bot", *SHORT, "--to", "https://x/y"], "spec.output.uri: must be a URI that starts with one of: s3://, gs://"),
        (["bot", *SHORT, "--set", "training.epochz=2"], "spec.training.epochz: there is no such field; did you mean epochs?"),
        (["bot", *SHORT, "--set", "training.epochs=many"], "spec.training.epochs: must be a number, not"),
        (["bot", *SHORT, "--set", "training={epochs: 1, maxSteps: 9}"], "spec.training: set epochs or maxSteps, not both"),
        (["bot", *SHORT, "--set", "epochs"], "--set epochs: is not FIELD=VALUE"),
        (["bot", *SHORT, "--set", "model.uri.deep=1"], "--set model.uri.deep=1: there is no such field or list entry"),
        (["bot", *SHORT, "--set", "training.epochs="], "--set training.epochs=: there is no value; give one, or null to remove"),
        (["bot", *SHORT, "--set", "dataset.eval[0]=null"], "dataset.eval[0]=null: there is no such field or list entry"),
        (["bot", *SHORT, "--set", "evaluation.tasks[0].limit=5"], "limit=5: there is no such field or list entry"),
        (["bot", *SHORT, "--set", "training.seed=2026-13-45"], 'spec.training.seed: must be a whole number, not "2026-13-45"'),
        (["bot", *SHORT, "--set", "model.uri.deep=null"], "--set model.uri.deep=null: there is no such field or list entry"),
        (["bot", *SHORT, "--set", "model.uri=null"], "give --model too"),
        (["bot", *SHORT, "--set", "training.epochs='2"], "--set training.epochs='2: the value is not valid YAML"),
        (["bot", *SHORT, "--set", "training.packing=[true]"], "spec.training.packing: must be true or false, not [true]"),
        (["bot", *SHORT, "--model", "oci://x/y"], "spec.model.uri: oci://x/y is not supported yet"),
        (["bot", *SHORT, "--set", "model=x"], 'spec.model: must be a mapping of fields, not "x"'),
        (["-f", "none.yaml"], "there is no file none.yaml"),
    ],
)  # fmt: skip
async def test_a_mistake_is_told_with_its_field_before_a_cluster_is_asked(server, shell, words, said):
    done = await shell.run("create", *words)

    assert done.exit_code == (66 if words[0] == "-f" else 64)
    assert said in done.stderr
    assert server.requests == []


def test_null_takes_a_field_out_wherever_it_was():
    spec = {"training": {"epochs": 2, "maxLength": 512}, "dataset": {"train": [{"uri": "a"}, {"uri": "b"}]}}
    manifest.changed(spec, ["training.epochs=null", "dataset.train[0]=null", "checkpoint.resumeFrom=null"])
    assert spec == {"training": {"maxLength": 512}, "dataset": {"train": [{"uri": "b"}]}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "kind: [FineTuneJob\n",
            "job.yaml line 2: this is not valid YAML (expected ',' or ']', but got '<stream end>'); correct it",
        ),
        ("kind: Pod\n", "job.yaml holds no FineTuneJob; exactly one is needed"),
        (
            "kind: FineTuneJob\n---\nkind: FineTuneJob\n",
            "job.yaml holds 2 FineTuneJobs; exactly one is needed",
        ),
        ("", "job.yaml holds no FineTuneJob; exactly one is needed"),
    ],
)
def test_broken_yaml_is_told_with_its_line(text, said):
    with pytest.raises(errors.Mistake) as told:
        manifest.parsed(text, "job.yaml")

    assert str(told.value) == said


def test_all_mistakes_are_told_at_once():
    with pytest.raises(errors.Mistake) as told:
        manifest.checked({"kind": "FineTuneJob", "metadata": {"name": "x"}, "spec": {"method": "PPO"}})

    assert [line.strip().partition(":")[0] for line in str(told.value).splitlines()] == [
        "apiVersion", "spec.method", "spec.model", "spec.dataset", "spec.output",
    ]  # fmt: skip


async def test_a_name_that_is_taken_is_said(server, shell):
    await shell.run("create", "support-bot", *SHORT)

    done = await shell.run("create", "support-bot", *SHORT)

    assert done.exit_code == 64
    assert "already exists; choose another name" in done.stderr


def test_every_rule_of_the_api_has_its_counterpart():
    def found(node):
        yield from (one["rule"] for one in node.get(rules.EXTENSION, ()) if "oldSelf" not in one["rule"])
        for inner in (*node.get("properties", {}).values(), *filter(None, [node.get("items")])):
            yield from found(inner)

    known = {rule for rule in found(schema.structural(FineTuneJobSpec)) if not rules.PATTERN.match(rule)}

    assert known == set(rules.COUNTERPARTS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": {"uri": "ftp://x"}}, "spec.model.uri"),
        ({"model": {"uri": "hf://a/b", "adapterFrom": {}}}, "spec.model.adapterFrom"),
        ({"dataset": {"train": [{"uri": "file:///x"}]}}, "spec.dataset.train[0].uri"),
        ({"dataset": {"train": [{"uri": "s3://a/b"}], "eval": [{"uri": "s3://a/b", "weight": 2}]}}, "spec.dataset"),
        ({"dataset": {"train": [{"uri": "s3://a/b", "template": [], "format": "text"}]}}, "spec.dataset.train[0]"),
        ({"training": {"microBatchSize": 0}}, "spec.training.microBatchSize"),
        ({"checkpoint": {"everyMinutes": 1, "everySteps": 1}}, "spec.checkpoint"),
        ({"evaluation": {"gate": ["tuned.loss"]}}, "spec.evaluation.gate[0]"),
        ({"evaluation": {"tasks": [{"generate": {}, "multipleChoice": {"choices": []}}]}}, "spec.evaluation.tasks[0]"),
        ({"evaluation": {"tasks": [{"multipleChoice": {}}]}}, "spec.evaluation.tasks[0].multipleChoice"),
        ({"scheduling": {"topology": {}}}, "spec.scheduling.topology"),
        ({"tracking": {"wandb": {"project": "p"}}}, "spec.tracking.wandb.credentialsSecretRef"),
        ({"tracking": {"wandb": {"project": "p", "mode": "Offline", "baseUrl": "https://w"}}}, "spec.tracking.wandb"),
        ({"tracking": {"mlflow": {"trackingUri": "https://me@host"}}}, "spec.tracking.mlflow.trackingUri"),
    ],
)  # fmt: skip
def test_a_rule_that_is_broken_names_its_field(change, field):
    assert [one.partition(": ")[0] for one in rules.broken({**SPEC, **change})] == [field]


@pytest.mark.parametrize("where", dict(examples.found()))
def test_no_example_breaks_a_rule(where):
    example = dict(examples.found())[where]
    assert rules.broken(example["spec"]) == []


def test_the_shortest_spec_of_the_contract_breaks_none():
    assert rules.broken(contract_runs.SHORTEST) == []

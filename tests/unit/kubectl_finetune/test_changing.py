import json

import pytest
import yaml

import kube_objects
import terminal
from kubectl_finetune.commands import changing
from kubectl_finetune.views.job import Job


async def test_a_job_is_suspended_and_goes_on(server, shell):
    terminal.job(server)

    first = await shell.run("suspend", "support-bot")
    assert server.get("finetunejobs", "support-bot")["spec"]["runPolicy"] == {"suspend": True}
    again = await shell.run("suspend", "support-bot")
    second = await shell.run("resume", "support-bot")

    assert server.get("finetunejobs", "support-bot")["spec"]["runPolicy"] == {"suspend": False}
    assert [one.exit_code for one in (first, again, second)] == [0, 0, 0]
    assert again.stdout == "support-bot is suspended already\n"


@pytest.mark.parametrize("verb", ["suspend", "resume"])
async def test_a_job_that_has_ended_cannot_be_paused(server, shell, verb):
    terminal.job(server, status=terminal.PUBLISHED)

    done = await shell.run(verb, "support-bot")

    assert done.exit_code == 64
    assert "support-bot has ended (Succeeded)" in done.stderr


async def test_a_retry_is_the_same_job_under_a_new_name_with_an_output_of_its_own(server, shell):
    terminal.job(server, status=terminal.FAILED, runPolicy={"suspend": True, "maxAttempts": 2})
    terminal.job(server, "support-bot-2", status=terminal.FAILED)

    done = await shell.run("retry", "support-bot")

    assert done.exit_code == 0, done.output
    made = server.get("finetunejobs", "support-bot-3")["spec"]
    old = server.get("finetunejobs", "support-bot")["spec"]
    assert made["output"]["uri"] == "s3://team-a/adapters/support-bot-3"
    assert made["runPolicy"] == {"maxAttempts": 2}
    assert {**made, "output": None, "runPolicy": None} == {**old, "output": None, "runPolicy": None}


async def test_a_retry_can_go_on_from_the_last_checkpoint(server, shell):
    terminal.job(server, status=terminal.FAILED)

    made = json.loads(
        (await shell.run("retry", "support-bot", "--from-checkpoint", "--as", "better", "-o", "json")).stdout
    )

    assert made["metadata"]["name"] == "better"
    assert made["spec"]["checkpoint"] == {"resumeFrom": {"jobRef": {"name": "support-bot"}}}


async def test_a_retry_keeps_labels_and_not_those_by_which_somebody_owns_the_first(server, shell):
    made = terminal.job(server, status=terminal.FAILED)
    mine = {"kueue.x-k8s.io/queue-name": "gold", "team": "a"}
    metadata = {
        **made["metadata"],
        "labels": {**mine, "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    server.put("finetunejobs", {**made, "metadata": metadata})

    await shell.run("retry", "support-bot")

    new = server.get("finetunejobs", "support-bot-2")["metadata"]
    assert (new["labels"], new["annotations"]) == (mine, {"note": "x"})


async def test_a_dry_run_of_a_retry_prints_it_and_makes_nothing(server, shell):
    terminal.job(server, status=terminal.FAILED)

    done = await shell.run("retry", "support-bot", "--dry-run")

    assert yaml.safe_load(done.stdout)["metadata"]["name"] == "support-bot-2"
    assert server.get("finetunejobs", "support-bot-2") is None


@pytest.mark.parametrize(
    ("name", "output", "new", "said"),
    [
        ("bot", "s3://a/bot", "bot-2", "s3://a/bot-2"),
        ("bot-2", "s3://a/bot-2", "bot-3", "s3://a/bot-3"),
        ("bot", "s3://a/out/", "bot-2", "s3://a/out-bot-2"),
        ("bot-2", "s3://a/out-bot-2", "bot-3", "s3://a/out-bot-3"),
    ],
)
def test_the_output_of_a_retry_has_one_name_however_often(name, output, new, said):
    job = Job.of(kube_objects.fine_tune_job(name, output={"uri": output}))

    assert changing.again(job, new, from_checkpoint=False)["spec"]["output"]["uri"] == said


async def test_a_job_that_runs_is_not_retried(server, shell):
    terminal.job(server)

    done = await shell.run("retry", "support-bot")

    assert done.exit_code == 75
    assert "support-bot has not ended yet (Running)" in done.stderr
    assert len(server.all("finetunejobs")) == 1


@pytest.mark.parametrize(
    ("name", "taken", "new"),
    [
        ("bot", set(), "bot-2"),
        ("bot-2", set(), "bot-3"),
        ("bot", {"bot-2", "bot-3"}, "bot-4"),
        ("b" * 40, set(), "b" * 38 + "-2"),
    ],
)
def test_the_next_name_is_the_next_number_that_is_free(name, taken, new):
    assert changing.next_name(name, taken) == new

import asyncio
import json

import urllib3

import fake_api_server
import kube_objects
import operator_lab
import terminal

LOG = "Train: load\n" + "".join(
    f"step {step}/500 loss {3.5 - step / 100:.4f} lr 2.00e-04 5120 tokens/s 0.50 s/step\n"
    for step in range(1, 121, 7)
)


def training_pod(server, name="support-bot", stage="train", suffix="1", *, started=True):
    labels = {
        "app.kubernetes.io/managed-by": "finetune-operator",
        "finetune.dev/job-uid": f"uid-{name}",
        "finetune.dev/stage": stage,
    }
    pod = f"{name}-{stage}-{suffix}"
    status = {"containerStatuses": [{"name": "trainer", "state": {"running": {}}}]} if started else {}
    server.put("pods", {"metadata": {"name": pod, "namespace": "team-a", "labels": labels}, "status": status})
    server.logs[pod] = LOG if stage == "train" else "Prepared: 12000 rows\n"
    return pod


async def test_a_list_says_how_far_each_job_is(server, shell):
    terminal.job(server)
    terminal.job(server, "second", status={"observedGeneration": -1})

    done = await shell.run("list")

    assert done.exit_code == 0, done.output
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["NAME", "STATE", "STEP", "LOSS", "ETA", "AGE"]
    assert sorted(row.split()[:5] for row in rows) == [
        ["second", "Pending", "-", "-", "-"],
        ["support-bot", "Running", "120/500", "2.31", "4m10s"],
    ]


async def test_a_list_of_all_namespaces_names_them(server, shell):
    server.put("finetunejobs", kube_objects.fine_tune_job("other", "team-b", uid="uid-b"))
    terminal.job(server)

    done = await shell.run("list", "-A")

    assert sorted(row.split()[0] for row in done.stdout.splitlines()[1:]) == ["team-a", "team-b"]


async def test_an_empty_namespace_is_said_beside_the_output(shell):
    done = await shell.run("list")

    assert (done.exit_code, done.stdout) == (0, "")
    assert "no FineTuneJobs in the namespace 'team-a'" in done.stderr


async def test_json_is_what_the_api_server_said(server, shell):
    made = terminal.job(server)

    listed = json.loads((await shell.run("list", "-o", "json")).stdout)["items"]
    one = json.loads((await shell.run("status", "support-bot", "-o", "json")).stdout)

    assert listed == [made] == [one]


async def test_the_status_is_one_screen_of_eighty_columns_without_colours(server, shell):
    terminal.job(server)
    training_pod(server)

    done = await shell.run("status", "support-bot")

    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    assert "120/500  24%  4m10s left" in done.stdout
    assert sum("•" in line for line in lines) == 4, "the curve"
    assert "11400 rows of messages, 600 held out, 3 left out, 12 cut" in done.stdout
    assert lines[-2].startswith("next:    `kubectl finetune watch support-bot`")


async def test_a_status_without_a_right_to_logs_has_no_curve(server, shell):
    terminal.job(server)
    training_pod(server)
    server.faults.append(fake_api_server.Fault("LIST", "pods", 403, times=9, message="no pods for you"))

    done = await shell.run("status", "support-bot")

    assert done.exit_code == 0
    assert "•" not in done.stdout


async def test_a_status_says_how_good_it_got_and_what_it_cost(server, shell):
    terminal.job(server, status=terminal.PUBLISHED)

    told = (await shell.run("status", "support-bot")).stdout

    assert "held-out loss 3.1 -> 1.9, perplexity 22.2 -> 6.7, 19.0 MB published" in told
    assert "1h28m of GPU, 1h28m in training, 3.68 USD" in told
    assert "kubectl finetune report support-bot" in told


async def test_watching_ends_with_the_job(server, shell):
    terminal.job(server)
    following = asyncio.create_task(shell.run("watch", "support-bot"))
    await operator_lab.until(lambda: server.watchers["finetunejobs"])
    server.change("finetunejobs", "support-bot", lambda job: job.update(status=terminal.PUBLISHED))

    done = await asyncio.wait_for(following, 20)

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "Running  step 120 of 500  step 120/500  loss 2.31, held-out 2.44, 5120 tokens/s",
        "Succeeded  Published: the adapter is published",
    ]


async def test_watching_a_job_that_fails_says_why_and_ends_with_1(server, shell):
    terminal.job(server, status=terminal.FAILED)

    done = await shell.run("watch", "support-bot")

    assert done.exit_code == 1
    assert (
        "NonFiniteLoss, the loss became nan" in done.stderr
        or "NonFiniteLoss: the loss became nan" in done.stderr
    )


async def test_logs_are_the_newest_pods_or_a_stages(server, shell):
    terminal.job(server)
    training_pod(server, stage="prepare")
    await asyncio.sleep(1.1)  # creation times are whole seconds
    training_pod(server)

    newest = await shell.run("logs", "support-bot")
    prepare = await shell.run("logs", "support-bot", "--stage", "prepare")

    assert newest.stdout == LOG
    assert prepare.stdout == "Prepared: 12000 rows\n"


async def test_a_job_without_pods_has_no_logs_yet(server, shell):
    terminal.job(server)

    done = await shell.run("logs", "support-bot")

    assert done.exit_code == 75
    assert done.stderr == (
        "error: support-bot has no pods yet (Running: step 120 of 500); `kubectl finetune watch support-bot` follows the job\n"
    )


async def test_the_logs_of_a_job_that_has_ended_go_with_its_pods(server, shell):
    terminal.job(server, status=terminal.PUBLISHED)

    done = await shell.run("logs", "support-bot")

    assert done.exit_code == 66
    assert "support-bot has no pods any more, and their logs are gone with them" in done.stderr


async def test_a_pod_that_starts_has_no_log_yet(server, shell):
    terminal.job(server)
    training_pod(server)
    said = 'container "trainer" in pod "support-bot-train-1" is waiting to start: ContainerCreating'
    server.faults.append(fake_api_server.Fault("GET", "pods", 400, message=said))

    done = await shell.run("logs", "support-bot")

    assert done.exit_code == 75
    assert done.stderr == (
        f"error: cannot read the log of the pod 'support-bot-train-1' yet: {said}; `kubectl finetune watch` follows the job\n"
    )


async def test_letters_of_a_log_that_come_in_two_pieces_are_whole(server, shell, monkeypatch):
    terminal.job(server)
    server.logs[training_pod(server)] = "\N{EURO SIGN} and \N{GREEK SMALL LETTER ALPHA}\n"
    whole = urllib3.HTTPResponse.stream
    monkeypatch.setattr(
        urllib3.HTTPResponse,
        "stream",
        lambda self, **_: (bytes([one]) for some in whole(self) for one in some),
    )

    done = await shell.run("logs", "support-bot")

    assert done.stdout == "\N{EURO SIGN} and \N{GREEK SMALL LETTER ALPHA}\n"


async def test_following_goes_from_pod_to_pod_until_the_job_has_ended(server, shell):
    terminal.job(server, status={**terminal.RUNNING, "state": "Preparing"})
    following = asyncio.create_task(shell.run("logs", "support-bot", "-f"))
    try:
        await operator_lab.until(lambda: any(one.plural == "pods" for one in server.requests))
        training_pod(server, stage="prepare")
        await operator_lab.until(lambda: any("support-bot-prepare-1" in one.name for one in server.requests))
        await asyncio.sleep(1.1)  # creation times are whole seconds
        training_pod(server)
        await operator_lab.until(lambda: any("support-bot-train-1" in one.name for one in server.requests))
    finally:
        server.change("finetunejobs", "support-bot", lambda job: job.update(status=terminal.PUBLISHED))
        done = await asyncio.wait_for(following, 20)

    assert done.exit_code == 0, done.output
    assert done.stdout == "Prepared: 12000 rows\n" + LOG
    assert done.stderr.startswith("waiting for a pod of support-bot to start (Running: ")


async def test_a_pod_without_a_node_is_waited_for_and_no_longer_than_the_job_lasts(server, shell):
    """An API server answers its log with nothing, as if it were over."""
    terminal.job(server)
    pod = training_pod(server, started=False)
    following = asyncio.create_task(shell.run("logs", "support-bot", "-f"))
    try:
        await operator_lab.until(lambda: sum(one.plural == "pods" for one in server.requests) > 2)
        assert not [one for one in server.requests if one.name == pod]
    finally:
        server.change("finetunejobs", "support-bot", lambda job: job.update(status=terminal.FAILED))
        done = await asyncio.wait_for(following, 20)

    assert (done.exit_code, done.stdout) == (0, "")


async def test_watching_outlives_an_api_server_that_is_away(server, shell, monkeypatch):
    monkeypatch.setattr("kubectl_finetune.cluster.client.PAUSES", (0.01,))
    terminal.job(server)
    following = asyncio.create_task(shell.run("watch", "support-bot"))
    await operator_lab.until(lambda: server.watchers["finetunejobs"])
    faults = [
        fake_api_server.Fault("WATCH", "finetunejobs", code) for code in (503, fake_api_server.RESET, 500)
    ]
    server.faults += [fake_api_server.Fault("GET", "finetunejobs", 503), *faults]
    server.cut_watches()
    await operator_lab.until(lambda: not any(one.times for one in server.faults))
    server.change("finetunejobs", "support-bot", lambda job: job.update(status=terminal.PUBLISHED))

    done = await asyncio.wait_for(following, 20)

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "Running  step 120 of 500  step 120/500  loss 2.31, held-out 2.44, 5120 tokens/s",
        "Succeeded  Published: the adapter is published",
    ]
    assert done.stderr.count("watching goes on") == 1


async def test_watching_gives_up_at_last(server, shell, monkeypatch):
    monkeypatch.setattr("kubectl_finetune.cluster.client.PAUSES", (0.01,))
    monkeypatch.setattr("kubectl_finetune.cluster.client.LOST_SECONDS", 0.1)
    terminal.job(server)
    server.faults.append(fake_api_server.Fault("WATCH", "finetunejobs", 503, times=10**6))

    done = await shell.run("watch", "support-bot")

    assert done.exit_code == 69
    assert "error: the cluster could not watch the FineTuneJob 'support-bot'" in done.stderr


async def test_a_difference_names_settings_and_results(server, shell):
    terminal.job(server, status=terminal.PUBLISHED, training={"learningRate": 0.0002})
    worse = {**terminal.PUBLISHED, "evaluation": {"base": {"loss": 3.1}, "tuned": {"loss": 2.5}}}
    terminal.job(server, "second", status=worse, training={"learningRate": 0.001})

    done = await shell.run("diff", "support-bot", "second")
    lines = json.loads((await shell.run("diff", "support-bot", "second", "-o", "json")).stdout)

    assert {line["field"]: (line["first"], line["second"]) for line in lines} == {
        "spec.training.learningRate": (0.0002, 0.001),
        "status.evaluation.rows": (600, None),
        "status.evaluation.base.perplexity": (22.2, None),
        "status.evaluation.tuned.loss": (1.9, 2.5),
        "status.evaluation.tuned.perplexity": (6.7, None),
    }
    assert ["spec.training.learningRate", "0.0002", "0.001"] in [
        row.split() for row in done.stdout.splitlines()
    ]


async def test_the_report_is_fetched_from_where_it_was_published(server, shell, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("<h1>fine</h1>")
    adapter = {**terminal.PUBLISHED["adapter"], "uri": f"file://{tmp_path}/out"}
    terminal.job(server, status={**terminal.PUBLISHED, "adapter": adapter})
    server.put("secrets", kube_objects.secret("bucket", AWS_ACCESS_KEY_ID="key"))

    done = await shell.run("report", "support-bot")

    assert (done.exit_code, done.stdout) == (0, "support-bot-report.html\n"), done.output
    assert (tmp_path / "support-bot-report.html").read_text() == "<h1>fine</h1>"


async def test_a_report_on_a_claim_is_told_how_to_get(server, shell):
    adapter = {**terminal.PUBLISHED["adapter"], "uri": "pvc://out/support-bot"}
    terminal.job(
        server, status={**terminal.PUBLISHED, "adapter": adapter}, output={"credentialsSecretRef": None}
    )

    done = await shell.run("report", "support-bot")

    assert done.exit_code == 64
    assert "pvc://out/support-bot lies on a PersistentVolumeClaim" in done.stderr

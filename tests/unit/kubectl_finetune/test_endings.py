"""Every way to fail: one sentence on stderr, and the documented exit code."""

import asyncio
import json

import pytest

import fake_api_server
import terminal
from kubectl_finetune import command

LOOKS = (["status", "nobody"], ["watch", "nobody"], ["logs", "nobody"], ["report", "nobody"], ["suspend", "nobody"],
         ["resume", "nobody"], ["retry", "nobody"], ["diff", "nobody", "nobody"])  # fmt: skip


@pytest.mark.parametrize("words", LOOKS, ids=lambda words: words[0])
async def test_no_such_job(shell, words):
    done = await shell.run(*words)

    assert done.exit_code == 66
    assert done.stdout == ""
    assert done.stderr == (
        "error: there is no FineTuneJob 'nobody' in the namespace 'team-a'; `kubectl finetune list` shows those there are, "
        "and -n NAME looks in another namespace\n"
    )


def test_no_cluster(tmp_path):
    done = terminal.Terminal.at(tmp_path, "http://127.0.0.1:9").type("list")

    assert done.exit_code == 69
    assert done.stderr.startswith("error: the cluster at http://127.0.0.1:9 does not answer (")
    assert done.stderr.count("\n") == 1


def test_no_kubeconfig(tmp_path):
    done = terminal.Terminal(tmp_path, tmp_path / "none").type("list")

    assert done.exit_code == 69
    assert done.stderr.startswith("error: no cluster: ")


async def test_another_context_that_does_not_exist(shell):
    done = await shell.run("list", "--context", "elsewhere")

    assert done.exit_code == 69
    assert "elsewhere" in done.stderr


@pytest.mark.parametrize(("code", "exit_code", "said"), [
    (403, 77, "you may not list FineTuneJobs in the namespace 'team-a': because; ask the cluster's admin for the right"),
    (401, 77, "the cluster does not know you (because); log in again, or choose another --context"),
    (500, 69, "the cluster could not list FineTuneJobs: because; try again in a moment"),
    (fake_api_server.RESET, 69, "does not answer"),
])  # fmt: skip
async def test_a_cluster_that_refuses(server, shell, code, exit_code, said):
    server.faults.append(fake_api_server.Fault("LIST", "finetunejobs", code, message="because"))

    done = await shell.run("list")

    assert done.exit_code == exit_code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


async def test_a_refusal_of_all_namespaces_says_how_to_ask_for_less(server, shell):
    server.faults.append(fake_api_server.Fault("LIST", "finetunejobs", 403, message="because"))

    done = await shell.run("list", "-A")

    assert done.exit_code == 77
    assert done.stderr.startswith(
        "error: you may not list FineTuneJobs in all namespaces: because; leave -A out"
    )


async def test_a_cluster_without_the_operator(server, shell):
    server.absent.add("finetune.dev")

    done = await shell.run("list")

    assert done.exit_code == 69
    assert "this cluster does not know FineTuneJobs" in done.stderr


async def test_a_job_that_still_runs_has_no_report(server, shell):
    terminal.job(server)

    done = await shell.run("report", "support-bot")

    assert done.exit_code == 75
    assert "support-bot has not ended yet (Running)" in done.stderr


async def test_a_job_that_failed_has_no_report(server, shell):
    terminal.job(server, status=terminal.FAILED)

    done = await shell.run("report", "support-bot")

    assert done.exit_code == 66
    assert "support-bot has published nothing" in done.stderr


async def test_a_full_disk(server, shell, tmp_path):
    (tmp_path / "report.html").write_text("<h1>fine</h1>")
    adapter = {**terminal.PUBLISHED["adapter"], "uri": f"file://{tmp_path}"}
    terminal.job(
        server, status={**terminal.PUBLISHED, "adapter": adapter}, output={"credentialsSecretRef": None}
    )

    done = await shell.run("report", "support-bot", "--to", "/dev/full")

    assert done.exit_code == 74
    assert done.stderr == "error: the disk is full while writing; make room and try again\n"


async def test_for_programs_the_error_is_json_too(shell):
    done = await shell.run("status", "nobody", "-o", "json")

    assert done.exit_code == 66
    assert json.loads(done.stderr)["error"]["reason"] == "NotThere"


def test_a_wrong_command_line(tmp_path):
    done = terminal.Terminal(tmp_path, tmp_path / "none").type("stauts", "x")

    assert done.exit_code == 2


@pytest.mark.parametrize("name", [None, *command.program.commands])
def test_help_fits_into_eighty_columns(tmp_path, name):
    done = terminal.Terminal(tmp_path, tmp_path / "none").type(*([name] if name else []), "--help")

    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(tmp_path, shell_name):
    done = terminal.Terminal(tmp_path, tmp_path / "none").type("completion", shell_name)

    assert done.exit_code == 0
    assert "_KUBECTL_FINETUNE_COMPLETE" in done.stdout


async def test_kubectl_completes_commands_and_the_names_of_jobs(server, shell):
    terminal.job(server)

    words = command.complete(["st"])
    names = await asyncio.to_thread(
        command.complete, ["status", "--kubeconfig", str(shell.kubeconfig), "sup"]
    )

    assert [one.split("\t")[0] for one in words] == ["status", ":4"]
    assert names == ["support-bot", ":4"]

"""Every way to fail: one sentence on stderr, and the documented exit code."""

import asyncio
import http.server
import json
import threading

import pytest
import yaml

import fake_api_server
import terminal
from kubectl_finetune import command

LOOKS = (["status", "nobody"], ["watch", "nobody"], ["logs", "nobody"], ["report", "nobody"], ["suspend", "nobody"],
         ["resume", "nobody"], ["retry", "nobody"], ["diff", "nobody", "nobody"])  # fmt: skip


@pytest.mark.parametrize(
    "words", [*LOOKS, ["chat", "nobody"], ["serve", "nobody", "--port", "0"]], ids=lambda words: words[0]
)
async def test_no_such_job(shell, words):
    done = await shell.run(*words)

    assert done.exit_code == 66
    assert done.stdout == ""
    assert done.stderr == (
        "error: there is no FineTuneJob 'nobody' in the namespace 'team-a'; `kubectl finetune list` shows those there are, "
        "and -n NAME looks in another namespace\n"
    )


ASKING = (
    *LOOKS,
    ["list"],
    ["list", "-A"],
    ["chat", "nobody"],
    ["chat", "nobody", "--here"],
    ["serve", "nobody", "--port", "0"],
    ["prune", "s3://team-a/adapters"],
    ["create", "nobody", "--model", "hf://a/b", "--data", "s3://a/b", "--to", "s3://a/c"],
)
"""Every command that speaks to a cluster."""


def test_every_command_that_takes_a_kubeconfig_is_among_them():
    told = {words[0] for words in ASKING}
    assert told == {name for name in command.program.commands if terminal.takes_kubeconfig((name,))}


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_no_cluster(tmp_path, words):
    done = terminal.Terminal.at(tmp_path, "http://127.0.0.1:9").type(*words)

    assert done.exit_code == 69
    assert done.stderr.startswith("error: the cluster at http://127.0.0.1:9 does not answer (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_no_kubeconfig(tmp_path, words):
    done = terminal.Terminal(tmp_path, tmp_path / "none").type(*words)

    assert done.exit_code == 69
    assert done.stderr.startswith("error: no cluster: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("text", "said"), [
    ("", "error: no cluster: "), ("clusters: [", "error: no cluster: "), ("- 1\n", "error: no cluster: "),
    ("\x00\xff", "error: no cluster: "), ("apiVersion: v1\nkind: Config\n", "error: no cluster: "),
])  # fmt: skip
def test_a_kubeconfig_that_is_none(tmp_path, text, said):
    (tmp_path / "config").write_text(text, encoding="latin-1")

    done = terminal.Terminal(tmp_path, tmp_path / "config").type("list")

    assert (done.exit_code, done.stderr.count("\n")) == (69, 1), done.stderr
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("name", ["", ".", "a/status", "Big"])
@pytest.mark.parametrize("command_name", ["status", "watch", "logs", "report", "suspend", "retry"])
async def test_what_is_no_name_is_not_asked_for(server, shell, command_name, name):
    done = await shell.run(command_name, name)

    assert (done.exit_code, done.stderr) == (
        64,
        f"error: NAME: {name!r} is not the name of a FineTuneJob; correct it\n",
    )
    assert server.requests == []


@pytest.mark.parametrize("namespace", ["a/b", "..", "Big"])
async def test_what_is_no_namespace_is_not_asked_for(server, shell, namespace):
    done = await shell.run("list", "-n", namespace)

    assert (done.exit_code, done.stderr) == (
        64,
        f"error: {namespace!r} is not the name of a namespace; correct it\n",
    )
    assert server.requests == []


def test_a_program_for_logging_in_that_is_missing(tmp_path):
    shell = terminal.Terminal.at(tmp_path, "http://127.0.0.1:9")
    told = yaml.safe_load(shell.kubeconfig.read_text())
    told["users"][0]["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin",
                                         "interactiveMode": "Never"}}  # fmt: skip
    shell.kubeconfig.write_text(yaml.safe_dump(told))

    done = shell.type("list")

    assert done.exit_code == 69
    assert done.stderr.startswith("error: no cluster: the kubeconfig's program for logging in failed: ")
    assert "no-such-plugin" in done.stderr


@pytest.mark.parametrize("body", [b"", b"<html>log in</html>", b"{}", b"[1]", b'{"ok": 1}'])
@pytest.mark.parametrize("words", [words for words in ASKING if words[0] != "prune"], ids=" ".join)
def test_what_answers_is_no_api_server(tmp_path, words, body):
    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_GET  # noqa: N815 - as http.server calls them

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        done = terminal.Terminal.at(tmp_path, address).type(*words)
        server.shutdown()

    assert done.exit_code == 69, done.output
    assert (
        done.stderr
        == f"error: what answers at {address} is not a Kubernetes API server; choose another --context\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
async def test_no_rights(server, shell, words):
    for verb in ("GET", "LIST", "POST"):
        server.faults.append(fake_api_server.Fault(verb, "finetunejobs", 403, times=9, message="because"))

    done = await shell.run(*words)

    assert done.exit_code == 77
    assert done.stderr.startswith("error: you may not ")
    assert done.stderr.count("\n") == 1


NEED_ITS_END = (["report"], ["retry"], ["chat"], ["chat", "--here"], ["serve", "--port", "0"])


@pytest.mark.parametrize("words", NEED_ITS_END, ids=" ".join)
async def test_a_job_that_still_runs(server, shell, words):
    terminal.job(server)

    done = await shell.run(words[0], "support-bot", *words[1:])

    assert done.exit_code == 75
    assert done.stderr.startswith("error: support-bot has not ended yet (Running)")
    assert done.stderr.count("\n") == 1


READERS = (["create", "-f"], ["run", "--local"], ["check"], ["estimate"])


@pytest.mark.parametrize("words", READERS, ids=" ".join)
@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("kind: [FineTuneJob\n", 64, "job.yaml line 2: this is not valid YAML"),
        ("", 64, "job.yaml holds no FineTuneJob; exactly one is needed"),
        ("just words\n", 64, "job.yaml holds no FineTuneJob; exactly one is needed"),
        ("kind: Pod\n", 64, "job.yaml holds no FineTuneJob; exactly one is needed"),
        ("kind: FineTuneJob\n---\nkind: FineTuneJob\n", 64, "job.yaml holds 2 FineTuneJobs; exactly one is needed"),
        ("kind: FineTuneJob\nmetadata:\nspec:\n", 64, ""),
        ("kind: FineTuneJob\nmetadata: [1]\nspec: 3\n", 64, "job.yaml: metadata must be a mapping of fields, not [1]"),
        ("\xff\xfe\x00", 64, "job.yaml is not UTF-8 text"),
        (None, 66, "there is no file job.yaml; correct the path"),
    ],
)  # fmt: skip
def test_a_broken_yaml(tmp_path, words, text, code, said):
    if text is not None:
        (tmp_path / "job.yaml").write_bytes(text.encode("latin-1"))

    done = terminal.Terminal(tmp_path, tmp_path / "none").type(*words, "job.yaml")

    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"] * (text is not None), "nothing is left"


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

"""docs/cli.md: what it says can be typed can be typed, and its exit codes are the program's."""

import pathlib
import re
import shlex

import pytest

import terminal
import trainer_tiny_model
from kubectl_finetune.errors import Exit

PAGE = (pathlib.Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.splitlines()]
LOCAL = [
    line
    for block in re.findall(r"^```sh local\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.fixture
def cluster(server, shell, tmp_path):
    """The jobs that the page talks of."""
    (tmp_path / "report.html").write_text("<h1>fine</h1>")
    (tmp_path / "job.yaml").write_text((terminal.ROOT / "examples/jobs/smoke.yaml").read_text())
    adapter = {**terminal.PUBLISHED["adapter"], "uri": f"file://{tmp_path}"}
    published = {**terminal.PUBLISHED, "adapter": adapter}
    for name, status in (
        ("support-bot", published),
        ("second", published),
        ("running", terminal.RUNNING),
        ("failed", terminal.FAILED),
    ):
        terminal.job(server, name, status=status, output={"credentialsSecretRef": None})
    for stage in ("prepare", "train"):
        labels = {
            "app.kubernetes.io/managed-by": "finetune-operator",
            "finetune.dev/job-uid": "uid-support-bot",
            "finetune.dev/stage": stage,
        }
        server.put("pods", {"metadata": {"name": f"pod-{stage}", "namespace": "team-a", "labels": labels}})
    return shell


@pytest.mark.parametrize("line", LINES)
async def test_a_command_of_the_page_works(cluster, line, tmp_path):
    if " prune " in line:  # no bucket of that name is here; a folder does as well
        line = line.replace("s3://team-a/adapters", f"file://{tmp_path}")
    program, plugin, *words = shlex.split(line, comments=True)
    assert (program, plugin) == ("kubectl", "finetune")

    done = await cluster.run(*words)

    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_the_commands_for_this_machine_work(tmp_path):
    shell = terminal.laptop(tmp_path)
    (tmp_path / "model").symlink_to(trainer_tiny_model.folder())

    for line in LOCAL:
        program, plugin, *words = shlex.split(line)
        done = shell.type(*words)
        assert (program, plugin, done.exit_code) == ("kubectl", "finetune", 0), done.output


def test_the_exit_codes_are_the_programs():
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)

    assert rows == [(str(code.value), code.meaning) for code in Exit]

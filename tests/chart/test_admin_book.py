"""The admin's book and the chart's README: every command and value in them is one that helm takes."""

import re
import shlex

import pytest
import yaml

import chart_tools
import page_blocks

PAGES = [
    *sorted((chart_tools.ROOT / "docs" / "admin").glob("*.md")),
    chart_tools.CHART / "README.md",
    chart_tools.ROOT / "README.md",
    chart_tools.ROOT / "docs" / "start.md",
]
VALUES = {
    f"{page.name}:{path}": text
    for page in PAGES
    for path, text in page_blocks.files(page.read_text()).items()
    if path.startswith("values/")
}
COMMANDS = [
    (page.name, command)
    for page in PAGES
    for block in page_blocks.commands(page.read_text())
    for command in block.replace("\\\n", " ").splitlines()
    if command.startswith("helm ")
]


@pytest.mark.parametrize("where", VALUES)
def test_values_that_are_shown_are_taken(where):
    assert chart_tools.rendered(yaml.safe_load(VALUES[where]))


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_names_this_chart_and_values_that_it_has(page, command):
    words = shlex.split(command)
    assert words[1] in {"install", "upgrade", "uninstall", "rollback"}
    assert words[2] == "finetune-operator"
    assert (
        words[words.index("-n") + 1 if "-n" in words else words.index("--namespace") + 1]
        == chart_tools.NAMESPACE
    )
    if words[1] in {"install", "upgrade"}:
        assert (chart_tools.ROOT / words[3] / "Chart.yaml").is_file()
        given = [word for at, word in enumerate(words) if words[at - 1] == "--set" or word == "--set"]
        done = chart_tools.helm("template", "finetune-operator", chart_tools.CHART, *given)
        assert done.returncode == 0, done.stderr


def test_there_are_some():
    assert len(VALUES) >= 4
    assert {"install", "upgrade", "uninstall", "rollback"} <= {
        shlex.split(command)[1] for _, command in COMMANDS
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target

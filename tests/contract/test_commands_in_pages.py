"""Whatever a page tells a reader to type is run by a test, or the page says why not."""

import re
import shlex

import click
import pytest

import admin_book
import page_commands
from finetune_operator.api.status import FineTuneJobStatus
from kubectl_finetune import command

COMMANDS = tuple(dict.fromkeys(page_commands.found()))
RUN = [one for one in COMMANDS if not one.not_run]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (page_commands.ROOT / "Makefile").read_text(), re.MULTILINE))
STATUS = re.compile(r"kubectl get ftj \S+ -o jsonpath='\{\.status\.(\w+)\}'$")
FIELDS = {field.alias or name for name, field in FineTuneJobStatus.model_fields.items()}
TESTED = {
    r"helm (install|upgrade|rollback|uninstall) ": (
        "tests/chart/test_admin_book.py::test_a_command_names_this_chart_and_values_that_it_has"
    ),
    r"kubectl apply -f examples/": "tests/e2e/test_examples.py::test_the_api_server_takes_an_example",
    r"kubectl apply -f finetunejob.yaml$": "tests/e2e/test_one_job.py::test_applying_again_changes_nothing",
    r"kubectl get ftj( -n \S+)?( -w)?$": "tests/e2e/test_one_job.py::test_kubectl_get_shows_the_columns",
    r"kubectl -n finetune-system rollout status ": "tests/e2e/test_leader.py::two_operators",
    r"python examples/\S+/make_data.py data$": (
        "tests/contract/test_tutorials.py"
        "::test_its_script_makes_the_rows_that_its_page_tells_of_and_the_same_ones_again"
    ),
    r"sed -i \S+nameSuffix": "tests/gitops/test_page.py::test_a_changed_file_is_another_job_with_an_output_of_its_own",
    r"kubectl get ftj bakery-dpo .*Accepted": (
        "tests/e2e/test_two_stages.py::test_the_second_stage_waits_for_the_first_and_goes_on_from_its_adapter"
    ),
}
"""What a command looks like, and the test that runs it or one like it."""

STORY = "tests/e2e/test_new_admin.py"
BOOK = {str(page.relative_to(page_commands.ROOT)) for page in admin_book.PAGES}
"""Pages of which that story runs every shell block that gives no reason."""


def test_there_are_some():
    assert {"README.md", "docs/start.md", "docs/cli.md", "docs/admin/install.md"} <= {
        one.page for one in COMMANDS
    }
    assert len(RUN) > len(COMMANDS) / 2


@pytest.mark.parametrize("one", RUN, ids=lambda one: f"{one.page}: {one.line[:60]}")
def test_a_command_is_one_that_works(one):
    words = shlex.split(one.line, comments=True)
    if words[0] == "make":
        assert set(words[1:]) <= TARGETS
    elif figure := STATUS.match(one.line):
        assert figure[1] in FIELDS
    elif one.page in BOOK:
        assert (page_commands.ROOT / STORY).is_file()
    elif words == ["kubectl", "finetune", "--help"]:
        assert command.program.get_help(click.Context(command.program))
    elif words[:2] == ["kubectl", "finetune"]:
        command.program.commands[words[2]].make_context(words[2], words[3:])
    else:
        assert [test for looks, test in TESTED.items() if re.match(looks, one.line)], (
            "no test runs this: name one in TESTED, or write <!-- not run: REASON --> above the block"
        )


@pytest.mark.parametrize("test", TESTED.values())
def test_the_test_that_is_named_is_there(test):
    file, _, name = test.partition("::")
    assert f"def {name}(" in (page_commands.ROOT / file).read_text()


def test_no_row_speaks_for_nothing():
    lines = [one.line for one in RUN]
    assert [looks for looks in TESTED if not any(re.match(looks, line) for line in lines)] == []


def test_a_reason_is_a_sentence():
    assert [one for one in COMMANDS if one.not_run and len(one.not_run.split()) < 4] == []

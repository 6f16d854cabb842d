"""What is on a terminal of 80 x 24 while the program is used, and that the pictures in the docs show it."""

import pytest
import pytest_asyncio

import cli_screens
import pseudo_terminal

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
ON_ONE_SCREEN = ("list", "status", "status-succeeded", "status-failed", "watch", "diff", "refused")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def terminals(tmp_path_factory):
    """The terminal of each picture, by its name."""
    async with cli_screens.cluster(tmp_path_factory.mktemp("screens")) as there:
        yield {name: await cli_screens.seen(there, shot) for name, shot in cli_screens.SHOTS.items()}


@pytest.fixture(params=cli_screens.SHOTS)
def name(request):
    return request.param


async def test_no_line_is_cut_or_broken_within_a_word(terminals, name):
    text = terminals[name].text

    assert "…" not in text
    assert [line for line in text.splitlines() if len(line) > pseudo_terminal.COLUMNS] == []


@pytest.mark.parametrize("name", ON_ONE_SCREEN)
async def test_all_that_is_told_is_still_on_the_screen(terminals, name):
    """The prompt of the shell below it, too."""
    rows = [row.plain for row in cli_screens.lines(terminals[name])]

    assert len(rows) < pseudo_terminal.ROWS
    assert rows[0] == terminals[name].text.splitlines()[0].rstrip()


async def test_the_picture_in_the_docs_is_this_one(terminals, name):
    made = cli_screens.svg(name, cli_screens.lines(terminals[name], cli_screens.SHOTS[name].since))

    assert (cli_screens.FOLDER / f"{name}.svg").read_text() == made, "run `make generated`"
    assert "http" not in made.replace("http://www.w3.org/2000/svg", "")

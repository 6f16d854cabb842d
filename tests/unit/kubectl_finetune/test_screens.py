import pytest

import cli_screens

SCREENS = cli_screens.screens()


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_fits_into_80_by_24_and_nothing_is_cut(name):
    lines = cli_screens.lines(SCREENS[name])

    assert max(map(len, lines)) <= cli_screens.WIDTH
    assert len(lines) <= cli_screens.HEIGHT
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize("name", SCREENS)
def test_the_picture_in_the_docs_is_this_one(name):
    made = cli_screens.svg(name, SCREENS[name])

    assert (cli_screens.FOLDER / f"{name}.svg").read_text() == made, "run `make generated`"
    assert "http" not in made.replace("http://www.w3.org/2000/svg", "")

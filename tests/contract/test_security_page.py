"""Every threat has a test that exists, and the page says what the list says; nothing that is installed is below its floor."""

import pathlib
import re

import pytest

import security_page

ROOT = pathlib.Path(__file__).resolve().parents[2]
THREATS = security_page.threats()
FLOORS = {"transformers": (5, 5, 0), "torch": (2, 6, 0)}


def test_the_page_holds_todays_list():
    page = security_page.PAGE.read_text()
    assert page == security_page.with_table(page), "run `python tests/support/security_page.py`"


def test_the_list_is_whole():
    assert [one["id"] for one in THREATS] == [f"T{at:02}" for at in range(1, len(THREATS) + 1)]
    assert {one["who"] for one in THREATS} == set(security_page.WHO)
    for one in THREATS:
        assert one.keys() - {"rest"} == {"id", "who", "threat", "against", "tests"}, one["id"]
        assert one["tests"], one["id"]


@pytest.mark.parametrize(
    "test", [pytest.param(test, id=f"{one['id']}-{test}") for one in THREATS for test in one["tests"]]
)
def test_its_tests_exist(test):
    """A function, or a case of a table."""
    file, _, name = test.partition("::")
    text = (ROOT / file).read_text()
    function = rf"^(async )?def {re.escape(name)}\("
    assert re.search(function, text, re.MULTILINE) if name.startswith("test_") else name in text


@pytest.mark.parametrize("package", FLOORS)
def test_no_known_hole_is_installed(package):
    lock = (ROOT / "trainer-image" / "requirements.lock").read_text()
    pinned = re.search(rf"^{package}==([\d.]+)", lock, re.MULTILINE)
    assert pinned is not None
    assert tuple(map(int, pinned[1].strip(".").split("."))) >= FLOORS[package]
    told = ".".join(map(str, FLOORS[package]))
    assert (
        f"{package} {told.removesuffix('.0') if package == 'torch' else told}"
        in security_page.PAGE.read_text()
    )

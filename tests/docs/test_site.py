"""The site that `make docs` builds: what ends the build, and how a browser lays its pages out. `make test-docs` runs this."""

import pathlib
import shutil
import subprocess

import pytest

import headless

ROOT = pathlib.Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "docs"
MKDOCS = ROOT / "build" / "docs-venv" / "bin" / "mkdocs"
PARTS = ("docs", "examples", "charts", "gitops", "crds", "tests")
WIDTHS = (1280, 400)
"""CSS pixels: a desk, a telephone."""
BROKEN = {
    "[a file of the repository](../no-such.py)": "links to ../no-such.py, which is not there",
    "[a page](no-such.md)": "'no-such.md', but the target is not found",
    "[a heading](cli.md#no-such)": "'cli.md#no-such', but the doc 'cli.md' does not contain an anchor",
    '<img src="no-such.png">': "links to no-such.png, which is not there",
    '<img src="https://elsewhere.example/a.png">': "loads https://elsewhere.example/a.png from another server",
}

pytestmark = pytest.mark.skipif(not MKDOCS.is_file(), reason="make docs was not run")


def test_what_leads_nowhere_ends_the_build_and_is_named(tmp_path):
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("mkdocs.yml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / file, tmp_path)
    page = tmp_path / "docs" / "resume.md"
    page.write_text("\n\n".join([page.read_text(), *BROKEN]))

    done = subprocess.run([MKDOCS, "build"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert [sentence for sentence in BROKEN.values() if sentence not in done.stderr] == []
    told = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert [line for line in told if "resume." not in line] == []


@pytest.fixture(scope="module")
def browser():
    yield from headless.page_of_a_test()


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window(browser, width):
    pages = sorted(SITE.rglob("*.html"))
    wide = {}
    for page in pages:
        browser.open(page, width=width)
        if (taken := browser.value("document.documentElement.scrollWidth")) > width:
            wide[str(page.relative_to(SITE))] = taken

    assert len(pages) > 50
    assert wide == {}


def test_a_wide_table_scrolls_by_itself(browser):
    browser.open(SITE / "comparison.html", width=400)

    kept = "[...document.querySelectorAll('table')].every(one => one.closest('.md-typeset__scrollwrap'))"
    assert browser.value(kept) is True

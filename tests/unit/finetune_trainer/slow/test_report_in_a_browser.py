"""report.html as a browser lays it out, on a desk and on a telephone; skipped where there is no Chromium."""

import pytest

import card_facts
import headless
import report_shots
from finetune_trainer import card

pytestmark = pytest.mark.slow  # a browser

WORD = "https://example.test/" + "a-long-address-without-a-blank/" * 6


@pytest.fixture(scope="module")
def page():
    yield from headless.page_of_a_test()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """With everything that there is to show, and words that no line holds."""
    samples = [
        {
            "source": "held-out", "messages": [{"role": "user", "content": f"{number} {WORD}"}],
            "expected": WORD, "base": "base " * number + WORD, "tuned": "tuned " * 30,
        }
        for number in range(6)
    ]  # fmt: skip
    source = {"part": "train", "uri": WORD, "format": "prompt-completion", "rowsRead": 123456, "rows": 123456}
    facts = card_facts.facts(
        samples=samples,
        history=[{"step": n, "loss": 3 - n / 10, "learning_rate": 1e-5 / n, "grad_norm": n} for n in range(1, 9)],
        base_model=WORD,
        data_report={
            "advice": [WORD], "dropped": {"NearCopy": {"rows": 12}},
            "tokens": {"histogram": [[2**n, 10 * n] for n in range(4, 14)]}, "sources": [source],
        },
        provenance={"base model": WORD},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(card.render(facts)["report.html"])
    return path


@pytest.mark.parametrize("width", report_shots.WIDTHS)
def test_nothing_is_wider_than_the_window(page, report, width):
    page.open(report, width=width)
    assert report_shots.overflowing(page, width) == []
    assert page.value("document.documentElement.clientWidth") == width


@pytest.mark.parametrize("width", report_shots.WIDTHS)
def test_numbers_at_the_axes_can_be_read(page, report, width):
    """Not smaller than a caption on a telephone."""
    page.open(report, width=width)
    heights = page.value(
        "[...document.querySelectorAll('.tick')].map((one) => one.getBoundingClientRect().height)"
    )
    assert len(heights) > 50
    assert min(heights) >= 11.0


def test_answers_stand_side_by_side_on_a_desk(page, report):
    page.open(report, width=1280)
    cells = page.value(
        "[...document.querySelectorAll('.answers')].map((one) => [...one.querySelectorAll('td')]"
        ".map((cell) => [cell.getBoundingClientRect().top, cell.getBoundingClientRect().width]))"
    )
    assert len(cells) == 6
    for (base_top, base_width), (tuned_top, tuned_width), _ in cells:
        assert base_top == tuned_top
        assert base_width == pytest.approx(tuned_width, abs=2)


def test_no_word_is_cut_letter_by_letter_on_a_telephone(page, report):
    """A cell of an answer is wide enough for a common word."""
    page.open(report, width=400)
    widths = page.value(
        "[...document.querySelectorAll('.answers td')].map((one) => one.getBoundingClientRect().width)"
    )
    assert min(widths) >= 200


def test_a_figure_stands_in_one_line(page, report):
    page.open(report, width=400)
    heights = page.value(
        "[...document.querySelectorAll('.figures td + td')].map((one) => one.getBoundingClientRect().height)"
    )
    assert len(heights) >= 2
    assert max(heights) < 40


def test_without_a_browser_it_is_said_what_to_install(report, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["report_shots.py", str(report), "--into", str(tmp_path)])
    assert report_shots.main() == 1
    assert capsys.readouterr().err == (
        "report_shots: no Chromium was found; on Debian: apt-get install chromium\n"
    )
    assert list(tmp_path.iterdir()) == []

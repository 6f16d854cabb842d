"""report.html: one page that needs nothing else, whatever the rows hold."""

import html.parser
import itertools
import re

import pytest

from card_facts import facts
from finetune_trainer import card, curves, page
from finetune_trainer.task import Evaluated, Measured, Trained

EVIL = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
LOG = [
    {"step": 1, "loss": 3.5, "learning_rate": 0.0, "grad_norm": 1.5},
    {"step": 2, "eval_loss": 3.1},
    {"step": 2, "loss": 2.5, "learning_rate": 1e-4, "grad_norm": float("nan")},
    {"step": 3, "loss": 2.0, "learning_rate": 5e-5, "grad_norm": 0.5},
    {"step": 3, "train_loss": 2.6},
]


class Tags(html.parser.HTMLParser):
    """What a browser would build."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "srcset"}
        ]
        assert not [name for name, _ in attrs if name.startswith("on")], attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(**changes) -> str:
    return card.render(facts(history=LOG, **changes))["report.html"]


def sample(base: str, tuned: str, asked: str = "?") -> dict:
    return {
        "source": "held-out",
        "messages": [{"role": "user", "content": asked}],
        "expected": "e",
        "base": base,
        "tuned": tuned,
    }


def test_the_page_needs_no_network_and_no_script():
    found = Tags(report())
    assert found.links == []
    assert not {"script", "link", "iframe", "img", "object"} & set(found.tags)
    assert found.open == []
    assert "default-src 'none'" in report()
    assert "url(" not in report()


def test_whatever_people_wrote_is_text():
    found = report(
        samples=[{**sample(EVIL, EVIL + "!", EVIL), "expected": EVIL}],
        base_model=EVIL,
        provenance={EVIL: EVIL},
        data_report={
            "advice": [EVIL], "dropped": {EVIL: {"rows": 1}}, "tokens": {"histogram": [[16, 3], [32, 5]]},
            "sources": [{"part": "train", "uri": EVIL, "format": EVIL, "rowsRead": 1, "rows": 1}],
        },
    )  # fmt: skip
    assert not {"script", "img"} & set(Tags(found).tags)
    assert found.count("&lt;script&gt;alert(1)") >= 10


def test_each_curve_that_has_points_is_drawn():
    assert Tags(report()).tags.count("polyline") == 4
    assert "Gradient norm" in report()
    assert "<svg" not in card.render(facts(history=[], evaluation=None))["report.html"]


def test_the_held_out_curve_goes_from_base_to_tuned():
    compared = Evaluated(rows=4, base=Measured(loss=4.0), tuned=Measured(loss=2.0))
    trained = Trained(step=4, total_steps=4, epoch=1.0, evaluation=compared)
    found = report(trained=trained)
    assert "Held-out loss" in found
    (plot,) = [
        one for one in page.plots(LOG, evaluation=compared, total_steps=4) if one.title.startswith("Held-out")
    ]
    (x0, y0), (x1, y1), (x2, y2) = plot.dots
    assert x0 < x1 < x2
    assert y0 < y1 < y2  # SVG's y points down, as the loss does here


def test_the_histogram_has_a_bar_for_each_bound():
    found = page.lengths({"tokens": {"histogram": [[16, 3], [32, 6], [64, 1]]}})
    heights = [height for _, _, _, height in found.bars]
    assert heights[1] == pytest.approx(2 * heights[0])
    assert [tick.text for tick in found.x_ticks] == ["16", "32", "64"]
    assert page.lengths(None) is None


def test_rows_that_were_left_out_are_told_with_the_reason_in_words():
    dropped = {"EmptyAnswer": {"rows": 2}, "OfALaterVersion": {"rows": 1}}
    found = report(data_report={"dropped": dropped, "sources": [], "advice": []})
    assert "<td>EmptyAnswer: an answer in it has no words</td><td></td><td>2</td>" in found
    assert "<td>OfALaterVersion</td><td></td><td>1</td>" in found


def test_many_bars_leave_room_for_the_numbers_below_them():
    found = page.lengths({"tokens": {"histogram": [[2**n, n] for n in range(4, 18)]}})
    places = [tick.at for tick in found.x_ticks]
    assert len(found.bars) == 14
    assert min(after - before for before, after in itertools.pairwise(places)) >= curves.NUMBER


def test_the_most_different_answers_come_first_and_only_once():
    samples = [
        sample("same words here", "same words here"),
        sample("one two three four", "one two three five"),
        sample("a b c", "x y z"),
        sample("", "something"),
        sample("k l", "k m"),
    ]
    different = page.most_different(samples)
    assert different == [samples[2], samples[3], samples[4]]
    assert page.others(samples, different) == [samples[0], samples[1]]
    shown = report(samples=samples)
    assert shown.index("x y z") < shown.index("same words here")
    assert len(re.findall("<article>", shown)) == 5


@pytest.mark.parametrize("count", [0, 1])
def test_one_point_is_no_curve(count):
    assert curves.curve("t", [(1.0, 3.0)] * count) is None


def test_what_is_no_number_is_left_out_of_a_curve():
    found = curves.curve("t", [(1.0, 3.0), (2.0, float("nan")), (3.0, 1.0)])
    assert len(found.line.split()) == 2


def test_long_runs_are_thinned_out_to_their_very_end():
    found = curves.curve("t", [(float(step), 1.0) for step in range(1, 10_001)])
    points = found.line.split()
    assert len(points) <= curves.MOST_POINTS
    assert points[-1].startswith(f"{curves.WIDTH - curves.RIGHT:.1f},") or found.x_ticks[-1].text == "10,000"
    assert found.dots == ()


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 10.0, ["0", "2", "4", "6", "8", "10"]),
        (2.31, 2.35, ["2.31", "2.32", "2.33", "2.34", "2.35"]),
        (0.0, 2e-4, ["0", "5e-05", "0.0001", "0.00015", "0.0002"]),
        (-1.0, 1.0, ["-1", "-0.5", "0", "0.5", "1"]),
        (5.0, 5.0, None),
    ],
)
def test_numbers_at_an_axis_are_round(low, high, texts):
    found = curves.curve("t", [(0.0, low), (1.0, high)])
    said = [tick.text for tick in found.y_ticks]
    assert said == texts if texts else len(set(said)) == len(said) > 2

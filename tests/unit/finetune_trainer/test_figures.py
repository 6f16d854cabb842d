"""A whole dataset in numbers, by hand."""

import numpy as np
import pytest

from data_facts import example, facts_of, text
from finetune_trainer import config
from finetune_trainer.data import deciding, figures
from finetune_trainer.data.deciding import Rules
from finetune_trainer.data.figures import Figures, Lengths, Source


def source(part: str = "train", uri: str = "s3://data/train.jsonl") -> Source:
    return Source(part=part, uri=uri, format="messages", loss_on="Assistant", rows_read=0, rows=0, seen=0)


def of(found, *, weight: float = 1.0, fraction: float = 0.0, sources=None, **quality) -> Figures:
    rules = Rules(
        quality=config.Quality.model_validate(quality), weights=(weight,), eval_fraction=fraction, seed=1
    )
    return figures.figures(found, deciding.decide(found, rules), sources or [source()])


def test_lengths_are_told_by_percentiles_and_in_powers_of_two():
    lengths = Lengths.of(np.arange(1, 101, dtype=np.int32))

    assert (lengths.rows, lengths.shortest, lengths.longest, lengths.mean) == (100, 1, 100, 50.5)
    assert lengths.percentiles == {"p5": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95, "p99": 99}
    assert lengths.histogram == ((16, 16), (32, 16), (64, 32), (128, 36))


def test_rows_of_one_token_have_a_histogram_too():
    assert Lengths.of(np.array([1, 1], np.int32)).histogram == ((16, 2),)


def test_what_became_of_each_source():
    found = facts_of([example(f"q {at}", "a") for at in range(10)], [example("x", "y"), example("x", "y")])

    told = of(found, weight=3.0, sources=[source(), source("eval", "s3://data/eval.jsonl")])

    assert [(one.part, one.rows_read, one.rows, one.seen) for one in told.sources] == [
        ("train", 10, 10, 30),
        ("eval", 2, 1, 0),
    ]
    assert (told.read, told.rows, told.held, told.dropped) == (12, 10, 1, {"ExactDuplicate": 1})
    assert told.first == {"ExactDuplicate": "eval.jsonl line 2 (a copy of eval.jsonl line 1)"}


def test_cut_rows_are_those_that_stay_or_would_if_they_were_shorter():
    rows = [example(f"q {at}", "a") for at in range(20)]
    found = facts_of(
        [*rows, rows[0]], tokens=[*range(100, 2100, 100), 100], max_length=1800, reasons={19: "TooLong"}
    )

    told = of(found)

    assert (told.cut, told.whole) == (2, 1920)  # 95 % of 20 rows: 19 of them, the longest of 1,900 tokens
    assert told.cut_places == ("train.jsonl line 19 (1900 tokens)", "train.jsonl line 20 (2000 tokens)")


def test_prompts_with_several_answers():
    rows = [example("a", "1"), example("a", "2"), example("a", "2 "), example("b", "1"), example("", "x")]

    assert of(facts_of(rows)).mixed_prompts == 3


def test_copies_that_are_kept():
    rows = [example("a", "1"), example("a", "1"), example("a", "1"), example("b", "1")]

    assert of(facts_of(rows), duplicates={"exact": False}).copies == 2
    assert of(facts_of(rows)).copies == 0


def test_the_most_common_answer_and_answers_that_are_the_prompt():
    rows = [example("a", "Yes."), example("b", "yes. "), example("c", "No."), example(" d", "d\n")]

    told = of(facts_of(rows))

    assert (told.common_answer, told.echoes) == (2, 1)


def test_liked_and_disliked_answers():
    rows = [
        example("a", "1", liked=True),
        example("a", "1", liked=False),
        example("a", "2", liked=False),
        example("b", "1", liked=False),
    ]

    told = of(facts_of(rows))

    assert (told.liked, told.disliked, told.contradictions) == (1, 3, 2)


def test_pairs_by_length():
    rows = [example("a", "long answer", rejected="short"), example("b", "no", rejected="yes")]

    told = of(facts_of(rows))

    assert (told.pairs, told.longer_chosen, told.chosen_characters, told.rejected_characters) == (2, 1, 13, 8)


def test_pairs_that_another_one_contradicts():
    rows = [
        example("a", "1", rejected="2"),
        example("a", "2", rejected="1"),
        example("b", "1", rejected="2"),
        example("b", "2", rejected="3"),  # a ranking: 1 over 2, 2 over 3
        example("c", "2", rejected="1"),
        example("d", "yes", rejected="Yes"),
    ]

    assert of(facts_of(rows)).swapped == 2
    assert of(facts_of([example("a", "1")])).swapped == 0


@pytest.mark.parametrize(
    ("words", "broken"),
    [
        ("caf\u00c3\u00a9", True),
        ("it\u00e2\u20ac\u2122s", True),
        ("it\u00e2\x80\x99s", True),
        ("caf\ufffd", True),
        ("café, NÃO, â, 你好", False),
        ("plain", False),
    ],
)
def test_letters_that_were_read_in_the_wrong_encoding(words, broken):
    good = example("a", "b")
    for row in (example(words, "b"), example("a", words), example("a", "b", rejected=words), text(words)):
        told = of(facts_of([good, row]))

        assert (told.broken, told.broken_place) == ((1, "train.jsonl line 2") if broken else (0, ""))


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("As an AI language model, I cannot do that.", True),
        ("\nI\u2019m sorry, but I can\u2019t assist with that.", True),
        ("I'm sorry, but as an AI I have no opinion.", True),
        ("I am unable to do so.", True),
        ("As an aid, take a torch.", False),
        ("I'm sorry to hear that!", False),
        ("Paris.", False),
        ("", False),
    ],
)
def test_answers_that_begin_like_refusals(answer, refuses):
    rows = [example("a", "b"), example("As an AI, what can you do?", answer)]

    told = of(facts_of(rows))

    assert (told.refusals, told.refusals_place) == ((1, "train.jsonl line 2") if refuses else (0, ""))


def test_refusals_that_are_disliked_or_rejected_are_as_they_should_be():
    refusal = "As an AI language model, I cannot."
    rows = [
        example("a", refusal, liked=False),
        example("b", refusal, liked=True),
        example("c", "d", rejected=refusal),
    ]

    assert of(facts_of(rows)).refusals == 1


def test_special_tokens_in_what_is_said_and_in_plain_text():
    rows = [example("a", "b"), example("a", "c"), text("a"), text("b"), text("c")]

    told = of(facts_of(rows, quoting=[1, 3, 4]))

    assert (told.quoting, told.quoting_place) == (1, "train.jsonl line 2")
    assert (told.rendered, told.rendered_place) == (2, "train.jsonl line 4")


@pytest.mark.parametrize("count", [1, 2])
def test_plain_conversations_have_no_opinion(count):
    told = of(facts_of([example(f"a {at}", "b") for at in range(count)]))

    assert (told.liked, told.disliked, told.pairs, told.contradictions, told.mixed_prompts) == (0, 0, 0, 0, 0)

"""What is left out for what other rows say: copies, leaks, near copies; and who of them is told."""

import random

import pytest

from data_facts import example, facts_of
from finetune_trainer import config
from finetune_trainer.data import deciding
from finetune_trainer.data.deciding import Decision, Rules
from finetune_trainer.data.facts import Facts

TALE = "Once upon a time there was a king who had three sons, and each of them wanted the crown for himself, said number"


def decided(found: Facts, *, fraction: float | None = 0.0, seed: int = 1, **quality) -> Decision:
    rules = Rules(
        quality=config.Quality.model_validate(quality), weights=(1.0,), eval_fraction=fraction, seed=seed
    )
    return deciding.decide(found, rules)


def told(decision: Decision) -> dict[str, tuple[str, ...]]:
    return {reason: one.places for reason, one in decision.drops.report.items()}


def tale(number: int) -> str:
    """A text of its own."""
    dice = random.Random(number)
    return " ".join(f"{dice.random():.7f}" for _word in range(30))


def test_a_copy_is_told_with_the_row_that_it_is_a_copy_of():
    rows = [example("a", "b"), example("c", "d"), example("a", "b")]

    assert told(decided(facts_of(rows))) == {
        "ExactDuplicate": ("train.jsonl line 3 (a copy of train.jsonl line 1)",)
    }
    assert told(decided(facts_of(rows), duplicates={"exact": False})) == {}


def test_what_is_examined_by_is_not_trained_on_and_the_row_is_told():
    found = facts_of(
        [example("a", "b"), example("c", "d")], [example("x", "y"), example("c", "d", loss="All")]
    )

    assert told(decided(found)) == {"InEval": ("train.jsonl line 2 (a copy of eval.jsonl line 2)",)}


def test_near_copies_stay_unless_they_are_asked_for():
    rows = [example("tell", f"{TALE} {number}") for number in range(5)]

    assert told(decided(facts_of(rows))) == {}
    decision = decided(facts_of(rows), duplicates={"near": 0.9})
    assert decision.train.tolist() == [0]
    assert told(decision)["NearDuplicate"][0] == "train.jsonl line 2 (near to train.jsonl line 1)"
    assert decision.drops.rows == {"NearDuplicate": 4}


def test_a_training_row_near_to_an_examined_one_goes_and_not_the_other_way_round():
    found = facts_of(
        [example("tell", f"{TALE} 1"), example("other", "words")], [example("tell", f"{TALE} 2")]
    )

    decision = decided(found, duplicates={"near": 0.9})

    assert told(decision) == {"NearEval": ("train.jsonl line 1 (near to eval.jsonl line 1)",)}
    assert (decision.train.tolist(), decision.held.tolist()) == ([1], [2])


def test_a_row_that_is_dropped_for_its_tokens_is_nobodys_original():
    rows = [example("tell", f"{TALE} 1"), example("tell", f"{TALE} 2")]

    decision = decided(facts_of(rows, reasons={0: "TooLong"}), duplicates={"near": 0.9})

    assert decision.train.tolist() == [1]
    assert decision.drops.rows == {"TooLong": 1}


def test_a_row_is_told_once_and_the_reason_of_its_own_comes_first():
    rows = [example("a", "b"), example("a", "b")]

    decision = decided(facts_of(rows, reasons={1: "Blocklisted"}), duplicates={"near": 0.5})

    assert told(decision) == {"Blocklisted": ("train.jsonl line 2",)}


@pytest.mark.parametrize("seed", range(10))
def test_near_rows_that_both_stay_never_straddle_the_split(seed):
    """Liked and disliked answers that differ by a word are no copies; examined by one of them, the other is known already."""
    rows = [
        example(f"question {number}", tale(number) + " in the end" * (not liked), liked=liked)
        for number in range(40)
        for liked in (True, False)
    ]

    decision = decided(facts_of(rows), fraction=0.3, seed=seed, duplicates={"near": 0.8})

    sides = [set((part // 2).tolist()) for part in (decision.train, decision.held)]
    assert decision.drops.rows == {}
    assert sides[0] & sides[1] == set()
    assert len(decision.held) >= 20


def test_the_report_names_the_first_places_and_counts_all():
    rows = [example("a", "b") for _copy in range(100)]

    decision = decided(facts_of(rows))

    assert decision.drops.rows == {"ExactDuplicate": 99}
    assert len(told(decision)["ExactDuplicate"]) == 20
    assert told(decision)["ExactDuplicate"][0].startswith("train.jsonl line 2 ")

import dataclasses
import random

import numpy as np
import pytest

import data_facts
from finetune_trainer import config
from finetune_trainer.data import deciding, facts, split
from finetune_trainer.data.deciding import Rules
from finetune_trainer.data.rows import Continuation, Conversation, Example, Message, Place


def example(asked: str, answered: str, line: int = 1, loss: str = "Assistant") -> Example:
    turns = (Message("user", asked), Message("assistant", answered))
    return Example(Place("a.jsonl", line), Conversation(turns, 1), loss)


def many(count: int) -> list[Example]:
    return [example(f"question {number}", f"answer {number}", number + 1) for number in range(count)]


def held_out(
    examples: list[Example], fraction: float | None, *, seed: int
) -> tuple[list[Example], list[Example]]:
    """Those to train on and those to examine by."""
    apart = split.apart(words(examples), fraction, seed=seed).tolist()
    train = [one for one, out in zip(examples, apart, strict=True) if not out]
    return train, [one for one, out in zip(examples, apart, strict=True) if out]


def words(examples: list[Example]) -> facts.Digests:
    return facts.digests([one.words() for one in examples])


@pytest.mark.parametrize(
    ("rows", "fraction", "held"),
    [
        (100, None, 5),
        (3, None, 1),
        (2, None, 1),
        (1, None, 0),
        (10_100, None, 500),
        (2_000, 0.5, 1_000),
        (10, 0.0, 0),
        (3, 0.5, 2),
        (2, 0.5, 1),
        (100, 0.001, 1),
    ],
)
def test_the_share_that_is_held_out(rows, fraction, held):
    examples = many(rows)

    train, test = held_out(examples, fraction, seed=42)

    assert (len(train), len(test)) == (rows - held, held)


def test_the_same_seed_holds_out_the_same_rows_in_any_order():
    examples = many(200)
    mixed = random.Random(0).sample(examples, len(examples))

    chosen = {one.key() for one in held_out(examples, 0.2, seed=1)[1]}

    assert {one.key() for one in held_out(mixed, 0.2, seed=1)[1]} == chosen
    assert {one.key() for one in held_out(examples, 0.2, seed=2)[1]} != chosen


def test_rows_keep_their_order_on_both_sides():
    train, held = held_out(many(100), 0.3, seed=3)

    assert [one.place.number for one in train] == sorted(one.place.number for one in train)
    assert [one.place.number for one in held] == sorted(one.place.number for one in held)


def test_equal_rows_never_straddle_the_split():
    examples = [one for one in many(30) for _copy in range(3)]

    train, held = held_out(examples, 0.2, seed=5)

    assert held
    assert not {one.key() for one in train} & {one.key() for one in held}


def test_rows_of_one_wording_are_not_all_held_out():
    train, held = held_out([example("a", "b", line) for line in range(10)], 0.2, seed=1)

    assert (len(train), len(held)) == (10, 0)


def as_completion(turns: tuple[Message, ...], line: int, begins: int) -> Example:
    return Example(Place("b.jsonl", line), Conversation(turns, begins), "Completion")


def said(examples: list[Example]) -> set[bytes]:
    return {one.words() for one in examples}


def test_one_conversation_in_two_formats_never_straddles_the_split():
    messages = many(40)
    pairs = [
        as_completion(one.content.messages, number, begins=number % 2) for number, one in enumerate(messages)
    ]

    train, held = held_out([*messages, *pairs], 0.2, seed=5)

    assert held
    assert not said(train) & said(held)


def test_a_plain_continuation_says_the_same_as_its_two_turns():
    turns, plain = example("a", "b"), Example(Place("b.jsonl", 1), Continuation("a", "b"), "Completion")

    assert turns.words() == plain.words() != example("a", "c").words()
    assert turns.key() != plain.key()


def test_what_is_examined_is_not_trained_on_wherever_its_completion_begins():
    rows = many(3)
    held = [as_completion(rows[1].content.messages, 1, begins=0)]
    rules = Rules(quality=config.Quality(), weights=(1.0,), eval_fraction=None, seed=1)

    decision = deciding.decide(data_facts.facts_of(rows, held), rules)

    assert decision.train.tolist() == [0, 2]
    assert decision.drops.report["InEval"].rows == 1


def test_a_row_of_a_light_source_that_is_not_drawn_is_counted_and_one_of_a_heavy_source_stands_there_twice():
    rules = Rules(quality=config.Quality(), weights=(0.5,), eval_fraction=0.0, seed=1)
    known = data_facts.facts_of(many(100))

    light = deciding.decide(known, rules)
    heavy = deciding.decide(known, dataclasses.replace(rules, weights=(2.0,), eval_fraction=0.1))

    assert 0 < len(light.train) == 100 - light.drops.rows["NotDrawn"] < 100
    assert heavy.train.tolist() == sorted([*set(heavy.train.tolist())] * 2)
    assert len(heavy.train) == 180
    assert len(set(heavy.held.tolist())) == len(heavy.held) == 10


@pytest.mark.parametrize("weight", [0.25, 1.0, 1.5, 3.0])
def test_a_weighted_row_is_seen_as_often_on_average_wherever_it_stands(weight):
    examples = many(2_000)
    mixed = random.Random(0).sample(examples, len(examples))
    first = np.zeros(len(examples), np.int64)

    seen, again = (split.drawn(words(rows), first, weight, seed=1) for rows in (examples, mixed))

    assert set(seen.tolist()) <= {int(weight), int(weight) + 1}
    assert seen.mean() == pytest.approx(weight, abs=0.05)
    assert dict(zip([one.words() for one in examples], seen.tolist(), strict=True)) == dict(
        zip([one.words() for one in mixed], again.tolist(), strict=True)
    )


def test_another_seed_draws_other_rows_and_copies_are_drawn_one_by_one():
    known = words(many(1) * 200)
    copies = np.arange(200, dtype=np.int64)

    one, other = (split.drawn(known, copies, 0.5, seed=seed) for seed in (1, 2))

    assert 70 < one.sum() < 130
    assert one.tolist() != other.tolist()

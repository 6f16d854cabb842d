"""Near copies: the estimate is held against the true Jaccard similarity, the decision against comparing all with all."""

import random
from pydoc_data.topics import topics

import numpy as np
import pytest

from finetune_trainer.data import copies, near
from finetune_trainer.data.copies import Signed
from finetune_trainer.data.rows import (
    Continuation,
    Conversation,
    Example,
    Feedback,
    Message,
    Place,
    Preference,
)


def example(*turns: tuple[str, str], content=None, loss: str = "Assistant") -> Example:
    talk = Conversation(tuple(Message(role, words) for role, words in turns), len(turns) - 1)
    return Example(Place("a.jsonl", 1), content(talk) if content else talk, loss)


def changed(text: str, share: float, seed: int) -> str:
    """`text` with a share of its words replaced."""
    dice, words = random.Random(seed), text.split()
    for at in dice.sample(range(len(words)), round(share * len(words))):
        words[at] = f"{dice.random():.6f}"
    return " ".join(words)


def true_similarity(one: str, other: str) -> float:
    first, second = (
        {text[at : at + 5] for at in range(len(text) - 4)}
        for text in (" ".join(one.casefold().split()), " ".join(other.casefold().split()))
    )
    return len(first & second) / len(first | second)


def found(texts: list[str], threshold: float = 0.8, *, kinds=None, examined: int = 0) -> list[int]:
    signed = near.signatures(texts)
    return (
        copies.copies(
            Signed(
                signatures=signed,
                kinds=np.array(kinds or [0] * len(texts), np.uint8),
                rows=np.arange(len(texts)),
                examined=examined,
                threshold=threshold,
            )
        ).of
    ).tolist()


LONG = "The operator watches the jobs of its namespace and starts one pod for each of them, which prepares the data first."


@pytest.fixture(scope="module")
def pages() -> list[str]:
    """Real text: paragraphs of Python's reference."""
    paragraphs = (part for topic in topics.values() for part in topic.split("\n\n"))
    return [part for part in dict.fromkeys(paragraphs) if 200 < len(part) < 2000][:400]


def test_the_estimate_is_as_good_as_its_size_allows(pages):
    pairs = [(page, changed(page, (at % 20) / 40, at)) for at, page in enumerate(pages)]
    one, other = (near.signatures(list(side)) for side in zip(*pairs, strict=True))

    errors = (one == other).mean(axis=1) - np.array([true_similarity(*pair) for pair in pairs])

    assert abs(errors.mean()) < 0.005
    assert np.sqrt((errors**2).mean()) < 0.04  # sqrt(J (1 - J) / 128) is at most 0.044


def test_signatures_are_the_same_on_every_machine_and_in_any_company():
    texts = [LONG, "짧은 글", "", "a"]

    together = near.signatures(texts)

    assert together[0, :6].tolist() == GOLDEN
    assert np.array_equal(together, np.concatenate([near.signatures([text]) for text in texts]))
    assert near.signatures([]).shape == (0, near.PLACES)


GOLDEN = [3325, 60527, 19923, 49898, 50488, 8587]
"""Of `LONG`. Another number: another version of the library, with other near copies."""


def test_case_width_and_spaces_make_no_difference():
    assert found(
        [
            LONG,
            f"  {LONG.upper()} ",
            LONG.replace(" ", "\n\t"),
            "\uff21\uff22\uff23\uff24\uff25\uff26",
            "abcdef",
        ],
        1.0,
    ) == [
        -1,
        0,
        0,
        -1,
        3,
    ]


def test_half_surrogates_are_text_like_any_other():
    assert found(["broken \ud800 text here", "broken \ud800 text here"]) == [-1, 0]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_who_goes_is_near_to_one_that_stays_and_hardly_any_that_stay_are_near_to_each_other(pages, threshold):
    texts = [
        changed(page, share, seed)
        for page in pages[:80]
        for seed, share in enumerate((0, 0, 0.02, 0.05, 0.1, 0.3))
    ]
    random.Random(7).shuffle(texts)
    signed = near.signatures(texts)

    of = found(texts, threshold)

    assert all(of[one] == -1 and one < row for row, one in enumerate(of) if one >= 0)
    assert all(alike(signed, row, one) >= threshold for row, one in enumerate(of) if one >= 0)
    staying = [row for row, one in enumerate(of) if one < 0]
    missed = [
        row for row in staying if any(alike(signed, row, one) >= threshold for one in staying if one < row)
    ]
    assert len(missed) <= 0.01 * (len(texts) - len(staying))
    assert len(texts) - len(staying) >= 80


def alike(signed, one: int, other: int) -> float:
    return (signed[one] == signed[other]).mean()


def test_a_chain_of_small_changes_is_cut_where_it_is_too_far_from_its_beginning():
    words = [f"word{number:03}" for number in range(100)]
    chain = [
        " ".join(["other" if at < 4 * step else word for at, word in enumerate(words)]) for step in range(10)
    ]

    of = found(chain, 0.8)

    assert of[0] == -1
    assert of[1:3] == [0, 0]
    assert len([one for one in of if one < 0]) > 1


def test_the_order_of_other_rows_and_their_number_do_not_matter(pages):
    pair = [LONG, LONG.replace("one pod", "a pod")]

    assert found([*pages[:200], *pair])[-2:] == [-1, 200]
    assert found([pair[0], *pages[:200], pair[1]])[-1] == 0


def test_a_wording_that_all_rows_share_does_not_lead_to_comparing_all_with_all():
    """A thousand rows about 0.75 alike: hardly one is 0.9 alike to another, and none may be compared with all others."""
    wording = " ".join(f"common{number}" for number in range(60))
    texts = [
        f"{wording} {random.Random(number).random():.17f} {random.Random(-number).random():.17f}"
        for number in range(1000)
    ]
    copied = [*texts, *(f"{text} !" for text in texts[::10])]

    of = found(copied, 0.95)

    assert of[1000:] == list(range(0, 1000, 10))


def test_rows_of_different_kinds_are_no_copies_but_belong_on_one_side():
    near_pair = [
        LONG,
        LONG.replace("one pod", "a pod"),
        LONG,
        "Something else altogether, and not near to it.",
    ]
    signed = Signed(
        signatures=near.signatures(near_pair),
        kinds=np.array([0, 1, 1, 0], np.uint8),
        rows=np.arange(4),
        threshold=0.8,
    )

    told = copies.copies(signed)

    assert told.of.tolist() == [-1, -1, 1, -1]
    assert told.pairs.tolist() == [[0, 1]]


def test_a_training_row_near_to_an_examined_one_is_its_copy_whatever_its_kind():
    texts = [LONG, LONG.replace("one pod", "a pod")]

    assert found(texts, kinds=[0, 1]) == [-1, -1]
    assert found(texts, kinds=[0, 1], examined=1) == [-1, 0]


def test_only_the_rows_asked_for_are_looked_at():
    signed = Signed(
        signatures=near.signatures([LONG, LONG, "x", LONG]),
        kinds=np.zeros(4, np.uint8),
        rows=np.array([3, 2, 0]),
        threshold=0.8,
    )

    assert copies.copies(signed).of.tolist() == [-1, -1, 0]


def test_no_rows_have_no_copies():
    assert found([]) == []


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.8, 0.9, 0.99, 1.0])
def test_bands_find_pairs_at_the_threshold(threshold):
    number, width = copies.bands(threshold)

    assert number * width <= near.PLACES
    assert 1 - (1 - threshold**width) ** number >= copies.RECALL or width == 1


def test_the_system_prompt_makes_no_rows_alike():
    system = (
        "system",
        "You are a helpful and harmless assistant of the company, who never tells a lie. " * 20,
    )
    one = example(system, ("user", "What is red?"), ("assistant", "A colour."))
    other = example(system, ("user", "Who sings best?"), ("assistant", "The nightingale."))

    assert found([near.text_of(one), near.text_of(other)], 0.3) == [-1, -1]


def test_of_a_pair_of_answers_both_are_compared_and_the_prompt_once():
    def pair(better: str, worse: str) -> str:
        sides = (
            Conversation((Message("user", "ask"), Message("assistant", said)), 1) for said in (better, worse)
        )
        return near.text_of(Example(Place("a", 1), Preference(*sides), "Completion"))

    assert pair("good", "bad") == "ask\ngood\nbad"
    plain = Preference(Continuation("ask", "good"), Continuation("ask", "bad"))
    assert near.text_of(Example(Place("a", 1), plain, "Completion")) == "ask\ngood\nbad"


def test_a_liked_and_a_disliked_answer_are_of_different_kinds():
    liked, disliked = (
        example(("user", "a"), ("assistant", "b"), content=lambda talk, good=good: Feedback(talk, good))
        for good in (True, False)
    )

    assert near.kind_of(liked) != near.kind_of(disliked)
    assert near.kind_of(liked) != near.kind_of(example(("user", "a"), ("assistant", "b"), loss="All"))

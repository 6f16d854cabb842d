"""What one row alone gets left out for, and what it does not."""

import pickle
import time

import pytest

from data_facts import example, talk
from finetune_trainer import config
from finetune_trainer.data import filters
from finetune_trainer.data.filters import Drops, Judge
from finetune_trainer.data.rows import (
    Continuation,
    Conversation,
    Example,
    Feedback,
    Message,
    Place,
    Preference,
    Text,
)

CALL = (
    ("tool_calls", ({"type": "function", "function": {"name": "weather", "arguments": {"city": "Seoul"}}},)),
)


def row(content, loss: str = "Assistant") -> Example:
    return Example(Place("a.jsonl", 1), content, loss)


def turns(*said: tuple[str, str]) -> Conversation:
    return Conversation(tuple(Message(role, words) for role, words in said), len(said) - 1)


def judged(one: Example, **quality) -> str | None:
    return Judge(config.Quality.model_validate(quality))(one)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (example("a", " \n"), "EmptyAnswer"),
        (example(" ", "b"), "EmptyPrompt"),
        (row(turns(("user", "a"), ("assistant", ""), ("user", "b"), ("assistant", "c"))), "EmptyAnswer"),
        (row(turns(("user", "a"), ("assistant", "b"), ("user", ""), ("assistant", "c"))), "EmptyPrompt"),
        (row(Text("\t")), "EmptyText"),
        (row(Continuation("a", " ")), "EmptyAnswer"),
        (row(Continuation("", "b")), None),
        (example("a", "", rejected="b"), "EmptyAnswer"),
        (example("a", "b", rejected=" "), "EmptyAnswer"),
        (example("", "b", rejected="c"), "EmptyPrompt"),
        (example("a", "b", rejected="b "), "IdenticalAnswers"),
        (row(Preference(Continuation("a", "b"), Continuation("a", "b"))), "IdenticalAnswers"),
        (example("a", "b", rejected="B"), None),
        (example("a", "", liked=True), "EmptyAnswer"),
        (row(Feedback(Continuation("a", ""), desirable=False)), "EmptyAnswer"),
        (example("a", "a"), None),
    ],
)
def test_rows_without_words_or_without_a_difference(one, reason):
    assert judged(one) == reason


def test_a_call_of_a_tool_is_an_answer_and_a_tool_may_have_nothing_to_say():
    said = (
        Message("user", "a"),
        Message("assistant", "", more=CALL),
        Message("tool", ""),
        Message("assistant", "b"),
    )

    assert judged(row(Conversation(said, 3))) is None


def test_pairs_that_differ_in_the_called_tool_only_differ():
    with_call = Conversation((Message("user", "a"), Message("assistant", "", more=CALL)), 1)
    other = Conversation((Message("user", "a"), Message("assistant", "", more=(("tool_calls", ()),))), 1)

    assert judged(row(Preference(with_call, other))) is None


@pytest.mark.parametrize(
    ("text", "blocked", "found"),
    [
        ("Such CUNT", "cunt", True),
        ("Scunthorpe", "cunt", False),
        ("sub-class", "class", True),
        ("a New\nYork", "new york", False),
        ("in new york city", "New York", True),
        ("in newer york", "new york", False),
        ("나쁜말이다", "나쁜말", True),
        ("这是坏话吗", "坏话", True),
        ("который час", "кот", False),
        ("Der Kot.", "кот", False),
        ("straße", "STRASSE", True),
        ("mail me: a@b.org now", "a@b.org", True),
        ("C++ is fast", "c++", True),
        ("ABC++", "c++", False),
    ],
)
def test_blocked_words_are_found_whole_in_any_case_and_inside_where_words_have_no_ends(text, blocked, found):
    assert (judged(example(text, "b"), blocklist=[blocked]) == "Blocklisted") is found
    assert (judged(example("a", text), blocklist=["other", blocked]) == "Blocklisted") is found


def test_blocked_words_are_found_in_rejected_answers_and_in_calls():
    assert judged(example("a", "b", rejected="swordfish"), blocklist=["swordfish"]) == "Blocklisted"
    called = Conversation((Message("user", "a"), Message("assistant", "", more=CALL)), 1)
    assert judged(row(called), blocklist=["seoul"]) == "Blocklisted"


def test_a_thousand_blocked_words_cost_little():
    judge = Judge(config.Quality(blocklist=tuple(f"word{number}" for number in range(1000))))
    one = example("a", "nothing of that kind is said here " * 30)
    began = time.process_time()

    for _time in range(1000):
        assert judge(one) is None

    assert time.process_time() - began < 1.0  # a pattern of a thousand alternatives takes 40 s


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("to be or not to be, that is the question", None),
        ("so it is " * 20, "Repetitive"),
        ("好的我知道了" * 20, "Repetitive"),
        ("今天天气很好, 我们一起去公园散步, 看见了许多花和小鸟, 晚上回家吃饭, 然后读书睡觉。", None),
        ("네 알겠습니다 " * 20, "Repetitive"),
    ],
)
def test_an_answer_that_says_the_same_again_and_again(answer, reason):
    assert judged(example("a", answer), maxRepetition=0.5) == reason
    assert judged(example("a", answer)) is None


def test_what_is_not_learned_may_repeat_itself():
    again = "so it is " * 20

    assert judged(example(again, "b"), maxRepetition=0.5) is None
    shown = (
        Message("user", "a"),
        Message("assistant", again, learned=False),
        Message("user", "b"),
        Message("assistant", "c"),
    )
    assert judged(row(Conversation(shown, 3)), maxRepetition=0.5) is None
    first = Conversation(
        (Message("user", "a"), Message("assistant", again), Message("user", "b"), Message("assistant", "c")),
        3,
    )
    assert judged(row(first, "Completion"), maxRepetition=0.5) is None
    assert judged(row(first), maxRepetition=0.5) == "Repetitive"
    assert judged(row(Preference(talk("a", "b"), talk("a", again))), maxRepetition=0.5) is None


def test_examples_and_their_rules_travel_to_workers():
    quality = config.Quality(blocklist=("x",))

    assert Judge(pickle.loads(pickle.dumps(quality)))(example("x", "y")) == "Blocklisted"  # noqa: S301 - our own


def test_the_report_stays_bounded():
    drops = Drops()
    for line in range(1000):
        drops.add("ExactDuplicate", Place("a" * 1000 + ".jsonl", line))

    report = drops.report["ExactDuplicate"]

    assert (report.rows, len(report.places)) == (1000, filters.MAX_PLACES)
    assert len(report.places[7]) == filters.MAX_PLACE
    assert report.places[7].endswith("a.jsonl line 7")

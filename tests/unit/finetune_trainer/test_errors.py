import pickle
import re

import pytest

from finetune_trainer import errors


def classes(base: type[errors.TrainerError] = errors.TrainerError) -> list[type[errors.TrainerError]]:
    return [one for child in base.__subclasses__() for one in (child, *classes(child))]


def test_the_tree_in_the_docstring_names_every_class():
    drawn = set(re.findall(r"── (\w+)", errors.__doc__ or "")) | {"TrainerError"}

    assert drawn == {one.__name__ for one in classes()} | {"TrainerError"}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidRow, 64),
        (errors.GateNotMet, 65),
        (errors.SecretMissing, 69),
        (errors.InternalError, 70),
        (errors.Interrupted, 75),
        (errors.GatedModel, 77),
        (errors.OutOfMemory, 86),
    ],
)
def test_the_exit_code_says_who_must_act(kind, code):
    assert errors.exit_code_of(kind("sentence")) == code


def test_an_unknown_error_is_ours():
    assert errors.exit_code_of(ZeroDivisionError()) == 70
    assert "ZeroDivisionError: x" in str(errors.InternalError.wrapping(ZeroDivisionError("x")))


def test_an_earlier_failure_ends_as_it_ended():
    again = errors.EarlierFailure(77, {"reason": "AccessDenied", "message": "no"})

    assert (errors.exit_code_of(again), again.reason, str(again)) == (77, "AccessDenied", "no")


def test_a_sentence_is_one_line_that_no_terminal_obeys():
    told = errors.InvalidRow("a\x1b[31m.jsonl line 1:\n  first\r\nsecond\u202e\x00\ud800")

    assert str(told) == r"a\x1b[31m.jsonl line 1: first second\u202e\x00\ud800"


@pytest.mark.parametrize(("quoted", "shown"), [("x", "x"), ("\0", r"\x00")])
def test_a_long_sentence_keeps_its_beginning_and_its_end(quoted, shown):
    told = errors.InvalidRow("a.jsonl line 1: " + quoted * 100_000 + "; split it")

    assert len(str(told)) < 1_250
    assert str(told).startswith(f"a.jsonl line 1: {shown}")
    assert str(told).endswith(f"{shown}; split it")


def test_an_error_travels_between_processes():
    assert str(pickle.loads(pickle.dumps(errors.InvalidRow("a\tb")))) == r"a\tb"  # noqa: S301 - our own


@pytest.mark.parametrize("word", ["naïve", "한국어", "日本語", "العربية", "👩‍💻", "a\u00a0b"])
def test_words_in_any_script_are_shown_as_they_are(word):
    assert str(errors.InvalidRow(word)) == word

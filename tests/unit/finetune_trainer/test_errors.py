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

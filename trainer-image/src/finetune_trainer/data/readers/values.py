"""One JSON value, and what is wrong with it, in words that help."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from finetune_trainer import errors
from finetune_trainer.data.readers.text import around
from finetune_trainer.data.rows import Place

MAX_DEPTH = 100
"""Brackets within brackets: far more than tool schemas have, and far less than Python's own limit."""
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""What half a surrogate pair looks like in JSON; whole pairs do as well."""
PYTHON = ("None", "True", "False")
CURLY = ("\u201c", "\u201d", "\u201e", "\u2018", "\u2019")
"""Quotes as word processors write them."""
TEXTS = 'a file of plain text needs one object such as {"text": "..."} on each line'
ONE_LINE = "write each row on one line, line ends inside a text as \\n"
WRAPPERS = ("data", "rows", "train", "examples", "records", "items", "samples", "instances", "dataset")
"""Names under which an object holds the rows themselves."""


class _Refused(ValueError):
    """What JSON's grammar allows, or Python's parser, but no row may hold."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"names {twice[:40]!r} twice in one object; give each name once")
    return made


def _constant(word: str) -> Any:
    raise _Refused(f"holds {word}, which is not JSON; write null, or leave the column out")


def _float(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise _Refused(f"holds the number {digits[:40]}, which is too large; write it as a text")
    return value


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


def whole(text: str, place: Place) -> Any:
    """The one value that `text`, which neither begins nor ends with white space, holds."""
    with told(text, place):
        value, end = DECODER.raw_decode(text)
        if end < len(text) and (rest := text[end:].lstrip()):
            raise json.JSONDecodeError("Extra data", text, len(text) - len(rest))
    return value


def embedded(text: str) -> Any:
    """The list or object that a text holds, as cells of CSV do. Raises `ValueError` where it holds none that a row may have."""
    text = text.strip()
    try:
        value, end = DECODER.raw_decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if end < len(text) or _depth(value) > MAX_DEPTH:
        raise ValueError("not one value, or nested too deeply")
    if "\\u" in text and SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode(
            "utf-8"
        )  # half a pair is a UnicodeEncodeError, which is a ValueError
    return value


@contextmanager
def told(text: str, place: Place, at: int = 0, before: int = 0) -> Iterator[None]:
    """Turn what the decoder raises about the value at `at` into `InvalidRow`.

    `before`: characters of the first line that are not part of `text`.
    """
    try:
        yield
    except json.JSONDecodeError as error:
        raise errors.InvalidRow(
            f"{place}: is not valid JSON ({error.msg.removesuffix(' at')} at {_spot(text, error.pos, place, at, before)}): "
            f"{around(text, error.pos)}; {_advice(text, error, at, begins=_begins(text, at, before))}"
        ) from error
    except RecursionError as error:
        raise _too_deep(text, place, at) from error
    except _Refused as error:
        raise errors.InvalidRow(f"{place}: {error}; the row: {around(text, at)}") from error
    except ValueError as error:  # Python reads no integers of more than 4300 digits
        raise errors.InvalidRow(
            f"{place}: holds a number with too many digits; write it as a text: {around(text, at)}"
        ) from error


def _spot(text: str, spot: int, place: Place, at: int, before: int) -> str:
    """Where the parser stopped, as editors count; the value begins at `at`, on the line that `place` names."""
    further, line = text.count("\n", at, spot), text.rfind("\n", 0, spot)
    column = f"column {spot - line + (before if line < 0 else 0)}"
    return f"line {place.number + further}, {column}" if further else column


def _too_deep(text: str, place: Place, at: int) -> errors.InvalidRow:
    return errors.InvalidRow(
        f"{place}: is nested more than {MAX_DEPTH} levels deep; flatten it, or write the inner part as a text: {around(text, at)}"
    )


def _begins(text: str, at: int, before: int) -> bool:
    """Whether the value at `at` begins its line; `before` characters of it are not part of `text`."""
    return not before if at == 0 else text[at - 1] == "\n"


def _advice(text: str, error: json.JSONDecodeError, at: int, *, begins: bool) -> str:
    """What to do about it. `begins`: nothing stands before the value on its line."""
    there = text[error.pos : error.pos + 16]
    before = text[max(error.pos - 64, 0) : error.pos].rstrip()[-1:]
    ended = not text[error.pos : error.pos + 4096].strip()
    table: tuple[tuple[bool, str], ...] = (
        ("\0" in there, "the file was not written completely; upload it again"),
        (
            error.msg == "Extra data" and "\r" in text[max(error.pos - 4, 0) : error.pos],
            "its lines end with a lone carriage return: save the file with line ends LF or CRLF",
        ),
        (error.msg == "Extra data" and there.startswith(","), "remove the comma after the row"),
        (error.msg == "Extra data" and there.startswith("{"), "put each row on a line of its own"),
        (
            error.msg == "Extra data",
            f"remove what follows the row's closing bracket; {TEXTS}",
        ),
        (
            there.startswith("'"),
            "JSON wants double quotes, and this looks like Python's notation: write rows with json.dumps",
        ),
        (
            there.startswith(PYTHON),
            "write null, true and false, as json.dumps does, not Python's None, True and False",
        ),
        (there[:1] in {"}", "]"} and before == ",", "remove the comma before the closing bracket"),
        (there.startswith(",") and before == ",", "remove one of the two commas"),
        (there.startswith(("//", "/*", "#")), "JSON has no comments; remove this one"),
        (there.startswith(CURLY), 'use straight quotes (")'),
        (error.msg.startswith("Invalid control"), "write tabs inside a text as \\t, line ends as \\n"),
        (error.msg.startswith("Invalid \\escape"), "write a backslash inside a text as \\\\"),
        (
            ended or error.msg.startswith("Unterminated"),
            f"the row does not end on its line: {ONE_LINE}, or upload the file again if it is cut off",
        ),
        (
            error.pos == at and begins,
            'a row is an object such as {"messages": [...]}; other kinds of files need their own suffix',
        ),
        (
            error.pos == at,
            'remove what stands here, or put a row there: an object such as {"messages": [...]}',
        ),
        (
            "delimiter" in error.msg,
            'put the missing comma or colon there; or, if a quote stands inside a text, write it as \\"',
        ),
        (
            error.msg.startswith("Expecting property") and there[:1].isalpha(),
            "put the names of columns into double quotes",
        ),
        (
            error.msg.startswith("Expecting value") and (there[:1].isalnum() or there[:1] in {"+", ".", "-"}),
            "write null, true, false, a number with a digit before the point, or a text in double quotes",
        ),
    )
    return next((advice for fits, advice in table if fits), "correct the row there")


def record(value: Any, text: str, place: Place, at: int = 0) -> dict[str, Any]:
    """`value`, read from `text`, if it can be a row."""
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}.get(
            type(value), "a number"
        )
        raise errors.InvalidRow(
            f'{place}: is {kind}; a row must be an object with named columns, such as {{"messages": [...]}}'
        )
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise _too_deep(text, place, at)
    if "\\u" in text and SURROGATE.search(text):
        _check_surrogates(value, place)
    return value


def _depth(value: Any) -> int:
    """Levels of lists and objects, counted no further than is allowed."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        inner = [part.values() if isinstance(part, dict) else part for part in level]
        level = [one for part in inner for one in part if isinstance(one, dict | list)]
    return depth


def _check_surrogates(values: dict[str, Any], place: Place) -> None:
    """Half surrogates would break the tokenizer later."""
    try:
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise errors.InvalidRow(
            f"{place}: holds only half of a character (\\u{ord(error.object[error.start]):04x}, one half of a surrogate pair), "
            "often an emoji that was cut in two; write the whole character, or remove it"
        ) from error


def rows_inside(values: dict[str, Any]) -> str | None:
    """How to get at the rows where an object is no row, but holds them; None where it is none of these."""
    for name in WRAPPERS:
        if _are_rows(values.get(name)):
            return f"its {name!r} is a list of rows: write that list alone (jq '.{name}' does)"
    several = list(values.values())
    if not several or not all(isinstance(one, dict | list) and one for one in several):
        return None
    if all(isinstance(one, dict) for one in several):
        by_column = all(set(one) == {str(at) for at in range(len(one))} for one in several)
        return (
            _COLUMNS
            if by_column
            else "each row has a key of its own: write the rows as a list (jq '[.[]]' does)"
        )
    plain = all(isinstance(one, list) and not isinstance(one[0], dict | list) for one in several)
    return _COLUMNS if plain and len({len(one) for one in several}) == 1 else None


_COLUMNS = "it holds whole columns: write rows (in pandas to_json(orient='records', lines=True) does)"


def _are_rows(value: Any) -> bool:
    """A list of objects that are no turns of a conversation."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and not one.keys() & {"role", "from"} for one in value)
    )

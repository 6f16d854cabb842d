"""What pydantic finds wrong with a spec, in sentences for its author: no types of Python, no regular expressions. Pure."""

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from kubectl_finetune.job import rules

Wrong = Any
"""One of pydantic's `ErrorDetails`."""

WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "missing": lambda _: "must be set",
    "bool": lambda _: "must be true or false",
    "dict": lambda _: "must be a mapping of fields",
    "float": lambda _: "must be a number",
    "int": lambda _: "must be a whole number",
    "list": lambda _: "must be a list",
    "model": lambda _: "must be a mapping of fields",
    "string": lambda _: "must be a text; put it in quotes",
    "finite": lambda _: "must be a finite number",
    "greater_than": lambda at: f"must be greater than {at['gt']:g}",
    "greater_than_equal": lambda at: f"must be at least {at['ge']:g}",
    "less_than": lambda at: f"must be less than {at['lt']:g}",
    "less_than_equal": lambda at: f"must be at most {at['le']:g}",
    "literal_error": lambda at: f"must be {at['expected'].replace(chr(39), '')}",
    "string_too_long": lambda at: f"must be at most {at['max_length']} characters long",
    "string_too_short": lambda at: (
        f"must be at least {at['min_length']} character{'s' * (at['min_length'] > 1)} long"
    ),
    "too_long": lambda at: f"must have at most {at['max_length']} entries, and has {at['actual_length']}",
    "too_short": lambda at: (
        f"must have at least {at['min_length']} entr{'ies' if at['min_length'] > 1 else 'y'}"
    ),
}
"""pydantic's kinds of error, or their beginnings up to `_`, and what to say."""


COUNTED = {"too_long", "too_short"}
"""Of lists, whose entries say nothing about it."""
SHOWN = 60
"""Characters of a wrong value that are repeated."""


def sentences(wrong: Iterable[Wrong]) -> list[str]:
    """One for each field, in order; where a field may be of several kinds, it is told them all."""
    told: dict[str, list[Wrong]] = {}
    for one in wrong:
        if one["type"] == "extra_forbidden":  # told by `unknown`
            continue
        told.setdefault(path(_of_the_api(one["loc"])), []).append(one)
    return [_sentence(field, several) for field, several in told.items()]


def path(parts: Sequence[str | int]) -> str:
    """`spec.dataset.train[0].uri`."""
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def shown(value: Any) -> str:
    """A value of the YAML as its author may have written it: null and true, not None and True."""
    return json.dumps(value, ensure_ascii=False, default=str)


def unknown(spec: Any) -> list[str]:
    """A sentence for each field that the API server does not know: pydantic takes Python's names of fields, too."""
    return list(_unknown(spec, rules.shape(), []))


def _unknown(value: Any, node: dict[str, Any], parts: list[str | int]) -> Iterator[str]:
    if isinstance(value, dict) and "properties" in node:
        for name, inner in value.items():
            if name in node["properties"]:
                yield from _unknown(inner, node["properties"][name], [*parts, name])
            else:
                yield _no_such(path([*parts, name]), str(name), list(node["properties"]))
    if isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _unknown(inner, node.get("items", {}), [*parts, at])


def _no_such(field: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{field}: there is no such field" + (f"; did you mean {near[0]}?" if near else "; leave it out")


def _short(value: Any) -> str:
    whole = shown(value)
    return whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}..."


def _sentence(field: str, several: Sequence[Wrong]) -> str:
    first = several[0]
    if first["type"] == "missing":
        return f"{field}: must be set"
    asked = " or ".join(_asked(one).removeprefix("must be " if at else "") for at, one in enumerate(several))
    if first["type"] in COUNTED:
        return f"{field}: {asked}"
    said, _, cure = asked.partition("; ")
    return f"{field}: {said}, not {_short(first['input'])}" + (f"; {cure}" if cure else "")


def _asked(one: Wrong) -> str:
    kind = one["type"]
    words = WORDS.get(kind) or WORDS.get(kind.partition("_")[0])
    if words is None:  # a validator of ours, whose sentence it is
        message = str(one["msg"]).removeprefix("Value error, ")
        return message[0].lower() + message[1:]
    return words(one.get("ctx") or {})


def _of_the_api(loc: Sequence[str | int]) -> list[str | int]:
    """`loc` as far as the API has such fields: which kind of a union was tried is nothing that anybody wrote."""
    found: list[str | int] = []
    node = rules.shape()
    for part in loc:
        inner = node.get("items") if isinstance(part, int) else _field(node, part)
        if inner is None:
            break
        found.append(part)
        node = inner
    return found


def _field(node: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The schema of the field `name`; None where there is none."""
    found: dict[str, Any] | None = node.get("properties", {}).get(name, node.get("additionalProperties"))
    return found

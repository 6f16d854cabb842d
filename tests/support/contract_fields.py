"""The fields of a pydantic model as comparable facts, so that two packages' models can be held against each other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pydantic

LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field, wherever it stands."""

    types: tuple[str, ...]
    """Without null: absent and null are the same."""
    values: tuple[str, ...]
    """Of an enumeration."""
    required: bool
    default: Any
    bounds: dict[str, float]


def fields(model: type[pydantic.BaseModel]) -> dict[str, Field]:
    """Path (`.dataset.train[].uri`) to field, for all below `model`."""
    whole = model.model_json_schema(by_alias=True)
    return dict(_below(whole, "", required=True, definitions=whole.get("$defs", {})))


def _below(node: Schema, path: str, *, required: bool, definitions: Schema) -> Iterator[tuple[str, Field]]:
    branches = list(_branches(node, definitions))
    yield path, _field(node, branches, required=required)
    for branch in branches:
        for name, child in branch.get("properties", {}).items():
            needed = name in branch.get("required", [])
            yield from _below(child, f"{path}.{name}", required=needed, definitions=definitions)
        if "items" in branch:
            yield from _below(branch["items"], f"{path}[]", required=True, definitions=definitions)


def _branches(node: Schema, definitions: Schema) -> Iterator[Schema]:
    """Of a union, with references followed and "or null" left out."""
    if "$ref" in node:
        yield from _branches(definitions[node["$ref"].rpartition("/")[2]], definitions)
    elif "anyOf" in node:
        for branch in node["anyOf"]:
            if branch != {"type": "null"}:
                yield from _branches(branch, definitions)
    else:
        yield node


def _field(node: Schema, branches: list[Schema], *, required: bool) -> Field:
    values = [value for branch in branches for value in branch.get("enum", [])]
    values += [branch["const"] for branch in branches if "const" in branch]
    return Field(
        types=tuple(sorted({branch.get("type", "any") for branch in branches})),
        values=tuple(sorted(map(str, values))),
        required=required,
        default=node.get("default"),
        bounds={key: bound for branch in branches for key, bound in branch.items() if key in LOWER + UPPER},
    )

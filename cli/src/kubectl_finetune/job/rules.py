"""What the API server refuses by CEL, told before it is asked: the same rules, read from the schema, with the same sentences.

A rule that is a pattern is read as it stands; each other one has its counterpart here. A test holds the two together.
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from finetune_operator.api import schema
from finetune_operator.api.base import QUANTITY
from finetune_operator.api.job import FineTuneJobSpec

Node = dict[str, Any]
EXTENSION = "x-kubernetes-validations"
PATTERN = re.compile(r"^self\.matches\('(?P<pattern>.*)'\)$", re.DOTALL)


def _one_of(first: str, second: str) -> Callable[[Any], bool]:
    return lambda value: (first in value) != (second in value)


def _not_both(first: str, second: str) -> Callable[[Any], bool]:
    return lambda value: not (first in value and second in value)


def _quantity(value: Any) -> bool:
    return isinstance(value, int) or re.search(QUANTITY, str(value)) is not None


def _rows_or_auto(value: Any) -> bool:
    return value == "Auto" or (isinstance(value, int) and 1 <= value <= 65536)  # noqa: PLR2004 - as the rule has it


COUNTERPARTS: dict[str, Callable[[Any], bool]] = {
    "has(self.jobRef) != has(self.uri)": _one_of("jobRef", "uri"),
    "has(self.required) != has(self.preferred)": _one_of("required", "preferred"),
    "has(self.choices) != has(self.choicesColumn)": _one_of("choices", "choicesColumn"),
    "has(self.multipleChoice) != has(self.generate)": _one_of("multipleChoice", "generate"),
    "!(has(self.epochs) && has(self.maxSteps))": _not_both("epochs", "maxSteps"),
    "!(has(self.everyMinutes) && has(self.everySteps))": _not_both("everyMinutes", "everySteps"),
    "!has(self.eval) || self.eval.all(source, !has(source.weight))": lambda dataset: (
        not any("weight" in source for source in dataset.get("eval", []))
    ),
    "!has(self.template) || (!has(self.columns) && (!has(self.format) || self.format == 'Auto'))": lambda source: (
        "template" not in source or ("columns" not in source and source.get("format", "Auto") == "Auto")
    ),
    "has(self.bertScore) == (has(self.metrics) && self.metrics.exists(name, name == 'bertscore'))": lambda evaluation: (
        ("bertScore" in evaluation) == ("bertscore" in evaluation.get("metrics", []))
    ),
    f"type(self) == int || self.matches('{QUANTITY}')": _quantity,
    "type(self) == int ? self >= 1 && self <= 65536 : self == 'Auto'": _rows_or_auto,
    "self.mode == 'Offline' || has(self.credentialsSecretRef)": lambda wandb: (
        wandb.get("mode") == "Offline" or "credentialsSecretRef" in wandb
    ),
    "self.mode == 'Online' || !(has(self.credentialsSecretRef) || has(self.baseUrl))": lambda wandb: (
        wandb.get("mode", "Online") == "Online" or not ({"credentialsSecretRef", "baseUrl"} & wandb.keys())
    ),
}
"""CEL -> the same in Python, of a value that has the right shape."""


def broken(spec: dict[str, Any]) -> list[str]:
    """A sentence for each rule that `spec` breaks: the field's path, and the rule's own words."""
    return list(_broken(spec, shape(), "spec"))


@functools.cache
def shape() -> Node:
    """The schema of a spec, with its rules."""
    return schema.structural(FineTuneJobSpec)


def _broken(value: Any, node: Node, path: str) -> Iterator[str]:
    for one in node.get(EXTENSION, ()):
        if "oldSelf" not in one["rule"] and not holds(one["rule"], value):
            yield f"{path}{one.get('fieldPath', '')}: {one['message']}"
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in node.get("properties", {}):
                yield from _broken(inner, node["properties"][name], f"{path}.{name}")
    if isinstance(value, list) and "items" in node:
        for at, inner in enumerate(value):
            yield from _broken(inner, node["items"], f"{path}[{at}]")


def holds(rule: str, value: Any) -> bool:
    """Whether `value` keeps the CEL `rule`. KeyError for a rule that nobody has put into Python."""
    if found := PATTERN.match(rule):
        return re.search(found["pattern"].replace("[:space:]", r"\s"), str(value)) is not None
    return COUNTERPARTS[rule](value)

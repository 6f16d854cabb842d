"""Which column of a source plays which part, and the values of one row by part."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from finetune_trainer import config, errors
from finetune_trainer.data import readers
from finetune_trainer.data.rows import Place, Row

USUAL: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations", "conversation"),
    "prompt": ("prompt", "question"),
    "completion": ("completion",),
    "instruction": ("instruction",),
    "input": ("input",),
    "output": ("output",),
    "history": ("history",),
    "system": ("system", "system_prompt"),
    "tools": ("tools", "functions"),
    "text": ("text",),
    "chosen": ("chosen", "preferred_output"),
    "rejected": ("rejected", "non_preferred_output"),
    "label": ("label", "kto_tag"),
}
"""Part: names that it usually has, the first one found counts."""
MOST_NAMED = 20
"""Columns that a sentence names."""
LONGEST_NAME = 60
"""Characters of a column's name that a sentence shows."""


@dataclass(frozen=True)
class Columns:
    """The names that each part may have."""

    names: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, named: config.Columns | None) -> "Columns":
        """The usual names, but for those that the spec gives."""
        said = named.model_dump(exclude_none=True) if named else {}
        return cls({part: (said[part],) if part in said else usual for part, usual in USUAL.items()})

    def find(self, part: str, row: Row) -> str | None:
        """The column of `part` in this row, None if it has none; one that is null counts only where no other is there."""
        null = None
        for name in self.names[part]:
            if name in row.values:
                if row.values[name] is not None:
                    return name
                null = null or name
        return null


@dataclass(frozen=True)
class Cells:
    """One row, its values called by their parts."""

    row: Row
    columns: Columns

    @property
    def place(self) -> Place:
        """Where the row stands."""
        return self.row.place

    def name(self, part: str) -> str:
        """The column of `part` as the author calls it."""
        return self.columns.find(part, self.row) or self.columns.names[part][0]

    def has(self, *parts: str) -> bool:
        """Whether the row has a column for each of `parts`."""
        return all(self.columns.find(part, self.row) for part in parts)

    def maybe(self, part: str) -> Any:
        """The value of a part that a row may lack; None where it does."""
        name = self.columns.find(part, self.row)
        return None if name is None else self.row.values[name]

    def value(self, part: str) -> Any:
        """The value of a part that every row has. Raises `ColumnMissing`."""
        return column(self.row, self.name(part))

    def text(self, part: str) -> str:
        """The text of a part that every row has. Raises `ColumnMissing`, `InvalidRow`."""
        return text_of(self.row, self.name(part))

    def maybe_text(self, part: str) -> str:
        """The text of a part that a row may lack; empty where it does, or where it holds nothing but blanks."""
        said = "" if self.maybe(part) is None else self.text(part)
        return said if said.strip() else ""


def text_of(row: Row, name: str) -> str:
    """The text of a column; numbers, as CSV and JSON mix them, are taken as they are written."""
    value = column(row, name)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise errors.InvalidRow(f"{row.place}: {name} {no_text(value)}")


def column(row: Row, name: str) -> Any:
    """The value of a column. Raises `ColumnMissing`."""
    if name not in row.values:
        raise errors.ColumnMissing(
            f"{row.place}: has no column {name!r} (it has {listed(row.values)}); add the column, or remove the row"
        )
    return row.values[name]


def unpacked(value: Any) -> Any:
    """A list or an object that was written as JSON text, as CSV has it; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return readers.embedded(value)
    except ValueError:
        return value


def no_text(value: Any) -> str:
    """What is wrong with a value that stands where a text must, and what to do."""
    advice = ": fill it in, or remove the row" if value is None else ""
    return f"is {kind(value)}; it must be a text{advice}"


def kind(value: Any) -> str:
    """A value as a person calls it."""
    words = {
        type(None): "null",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return words.get(type(value), type(value).__name__)


def listed(columns: Iterable[str]) -> str:
    """Columns in their order, not too many."""
    names = [name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…" for name in columns]
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "") if names else "none"

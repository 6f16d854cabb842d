"""The author's own wording over named columns: `{column}` stands for the row's value, `{{` and `}}` for braces."""

import hashlib
import json
import string
from collections.abc import Iterable
from dataclasses import dataclass

from finetune_trainer import config, errors
from finetune_trainer.data.columns import listed, text_of
from finetune_trainer.data.rows import Conversation, Example, LossOn, Message, Row

Part = tuple[str, str | None]
"""Words, and the column whose value follows them; None at the end."""


@dataclass(frozen=True)
class Wording:
    """A template, parsed."""

    field: str
    system: tuple[Part, ...]
    prompt: tuple[Part, ...]
    completion: tuple[Part, ...]

    @property
    def columns(self) -> set[str]:
        """Columns that it names."""
        return {
            column for part in (self.system, self.prompt, self.completion) for _, column in part if column
        }


def parse(templates: Iterable[config.PromptTemplate], field: str) -> tuple[Wording, ...]:
    """The templates of a source. Raises `InvalidTemplate`."""
    return tuple(_parsed(template, f"{field}[{at}]") for at, template in enumerate(templates))


def _parsed(template: config.PromptTemplate, field: str) -> Wording:
    made = Wording(
        field,
        parts(template.system or "", f"{field}.system"),
        parts(template.prompt, f"{field}.prompt"),
        parts(template.completion, f"{field}.completion"),
    )
    if not any(column for _, column in made.completion):
        raise errors.InvalidTemplate(
            f"{field}.completion: names no column, so every row would teach the same words; name one as {{column}}"
        )
    return made


def parts(text: str, field: str) -> tuple[Part, ...]:
    """The template `text`, parsed. Raises `InvalidTemplate`, which names `field`."""
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise errors.InvalidTemplate(
            f"{field}: {error}; write {{column}} for a value, and {{{{ or }}}} for a brace"
        ) from error
    for _words, column, specification, conversion in parsed:
        if column == "" or specification or conversion:
            raise errors.InvalidTemplate(
                f"{field}: braces must hold the bare name of a column; write {{{{ or }}}} for a brace"
            )
    return tuple((words, column) for words, column, _, _ in parsed)


def check(wordings: Iterable[Wording], row: Row) -> None:
    """Raises `TemplateColumnMissing` where the data lacks a column that a template names."""
    have = row.values.keys()
    for wording in wordings:
        if lost := wording.columns - have:
            names = ", ".join(sorted(repr(name) for name in lost))
            raise errors.TemplateColumnMissing(
                f"{wording.field}: names the column {names}, which {row.place} does not have; it has {listed(have)}: name "
                "one of these, or add the column"
            )


def understand(row: Row, wordings: tuple[Wording, ...], loss: LossOn, *, seed: int) -> Example:
    """`row` in the author's words. With several templates each row draws one, by the seed and by its own values."""
    wording = wordings[_drawn(row, wordings, seed)]
    check((wording,), row)
    turns = [
        Message("user", filled(wording.prompt, row)),
        Message("assistant", filled(wording.completion, row)),
    ]
    if (said := filled(wording.system, row)).strip():
        turns.insert(0, Message("system", said))
    return Example(row.place, Conversation(tuple(turns), len(turns) - 1), loss)


def filled(template: tuple[Part, ...], row: Row) -> str:
    """The template with the values of `row`, which is never read as a template itself. Raises `ColumnMissing`, `InvalidRow`."""
    return "".join(words + (text_of(row, column) if column else "") for words, column in template)


def _drawn(row: Row, wordings: tuple[Wording, ...], seed: int) -> int:
    """Which template: the same on every machine, wherever the row stands, and for every row that says the same.

    Only the columns count that some template names: an id beside them makes no other row.
    """
    if len(wordings) == 1:
        return 0
    named = sorted(set().union(*(wording.columns for wording in wordings)))
    said = json.dumps([seed, [row.values.get(name) for name in named]], default=str)
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8]) % len(wordings)

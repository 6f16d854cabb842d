"""Columns to meaning: which format a source has, and what each of its rows says.

| format | columns | becomes |
|---|---|---|
| messages | messages: [{role, content}] | a conversation; the assistant's turns are learned |
| alpaca | instruction, output; input, system | system, user (instruction, blank line, input), assistant |
| prompt-completion | prompt, completion | texts: user, assistant (plain text where the model has no chat template); lists: turns |
| text | text | plain text, all of it learned |
| a template of the author's | those it names | system, user, assistant |
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from finetune_trainer import config, errors
from finetune_trainer.data.rows import (
    ROLES,
    Content,
    Continuation,
    Conversation,
    Example,
    LossOn,
    Message,
    Place,
    Row,
    Text,
)

LATER = ("sharegpt", "preference", "unpaired-preference")
DEFAULT_LOSS: dict[str, LossOn] = {
    "messages": "Assistant",
    "alpaca": "Assistant",
    "template": "Assistant",
    "prompt-completion": "Completion",
    "text": "All",
}
HINTS = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "ai": "assistant"}
KNOWN = "messages (messages), alpaca (instruction, output and input), prompt-completion (prompt, completion) and text (text)"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The column behind each part."""

    messages: str = "messages"
    prompt: str = "prompt"
    completion: str = "completion"
    instruction: str = "instruction"
    input: str = "input"
    output: str = "output"
    system: str = "system"
    text: str = "text"
    chosen: str = "chosen"
    rejected: str = "rejected"
    label: str = "label"

    @classmethod
    def of(cls, named: config.Columns | None) -> "Columns":
        """The usual names, but for those that the spec gives."""
        return cls(**(named.model_dump(exclude_none=True) if named else {}))


def recognise(row: Row, source: config.DataSource, field: str) -> str:
    """The format of a source, by its first row.

    Raises `UnknownFormat`, `ColumnMissing`, and `NotYetSupported` for formats that are known but not read yet.
    """
    columns, have = Columns.of(source.columns), set(row.values)
    if source.columns and (lost := set(source.columns.model_dump(exclude_none=True).values()) - have):
        raise errors.ColumnMissing(
            f"{field}.columns: {row.place} has no column {min(lost)!r}; it has {_listed(row.values)}"
        )
    found = source.format if source.format != "Auto" else _found(columns, have, row)
    if found is None:
        raise errors.UnknownFormat(
            f"{field}: the columns of {row.place} fit no known format: {_listed(row.values)}. Known are {KNOWN}; name yours in "
            f"{field}.columns, or say how they become text in {field}.template"
        )
    if found in LATER:
        raise errors.NotYetSupported(
            f"{field}.format: {found} ({_listed(row.values)}) is not supported yet; known are {KNOWN}"
        )
    return found


def _found(columns: Columns, have: set[str], row: Row) -> str | None:
    """First match wins; preference data holds a prompt too, and alpaca's `input` may stand beside `messages`."""
    c = columns
    table: tuple[tuple[bool, str], ...] = (
        (c.messages in have, "messages"),
        ("conversations" in have and isinstance(row.values["conversations"], list), "sharegpt"),
        ({c.chosen, c.rejected} <= have, "preference"),
        ({c.instruction, c.output} <= have, "alpaca"),
        (
            {c.prompt, c.completion, c.label} <= have and isinstance(row.values[c.label], bool),
            "unpaired-preference",
        ),
        ({c.prompt, c.completion} <= have, "prompt-completion"),
        (c.text in have, "text"),
    )
    return next((name for fits, name in table if fits), None)


def loss_on(found: str, said: LossOn | None, field: str) -> LossOn:
    """Which tokens of a source are learned. Plain text has no turns: asking for them is refused, not ignored."""
    if found == "text" and said not in {None, "All"}:
        raise errors.NothingToLearn(
            f"spec.training.lossOn: {said} is asked for, but {field} is plain text without turns; set it to All, or leave it out"
        )
    return said or DEFAULT_LOSS[found]


def understand(row: Row, found: str, columns: Columns, loss: LossOn, *, chat: bool) -> Example:
    """What `row` says. `chat`: whether the model has a chat template. Raises `InvalidRow`, `ColumnMissing`, `NoAssistantTurn`."""
    return Example(row.place, _UNDERSTOOD[found](row, columns, chat), loss)


def _messages(row: Row, columns: Columns, chat: bool) -> Content:  # noqa: FBT001 - all of the table have one shape
    del chat
    turns = turns_of(_column(row, columns.messages), row.place, columns.messages)
    return conversation(turns, row.place)


def _alpaca(row: Row, columns: Columns, chat: bool) -> Content:  # noqa: FBT001 - see _messages
    del chat
    asked = [text_of(row, columns.instruction)]
    if row.values.get(columns.input) and (more := text_of(row, columns.input)).strip():
        asked.append(more)
    answer = Message("assistant", text_of(row, columns.output))
    return conversation([*_system(row, columns), Message("user", "\n\n".join(asked)), answer], row.place)


def _prompt_completion(row: Row, columns: Columns, chat: bool) -> Content:  # noqa: FBT001 - see _messages
    prompt, completion = _column(row, columns.prompt), _column(row, columns.completion)
    if isinstance(prompt, list) or isinstance(completion, list):
        asked = turns_of(prompt, row.place, columns.prompt, role="user")
        answered = turns_of(completion, row.place, columns.completion, role="assistant")
        return conversation([*asked, *answered], row.place, completion_from=len(asked))
    asked_text, answer_text = text_of(row, columns.prompt), text_of(row, columns.completion)
    if not chat:
        return Continuation(asked_text, answer_text)
    turns = [*_system(row, columns), Message("user", asked_text), Message("assistant", answer_text)]
    return conversation(turns, row.place)


def _text(row: Row, columns: Columns, chat: bool) -> Content:  # noqa: FBT001 - see _messages
    del chat
    return Text(text_of(row, columns.text))


_UNDERSTOOD: dict[str, Callable[[Row, Columns, bool], Content]] = {
    "messages": _messages,
    "alpaca": _alpaca,
    "prompt-completion": _prompt_completion,
    "text": _text,
}


def _system(row: Row, columns: Columns) -> list[Message]:
    """The system turn, if the row has one that says something."""
    if row.values.get(columns.system) is None:
        return []
    said = text_of(row, columns.system)
    return [Message("system", said)] if said.strip() else []


def conversation(turns: list[Message], place: Place, completion_from: int | None = None) -> Conversation:
    """Turns that hold at least one of the assistant's. The completion begins with its last one where nothing else is said."""
    answers = [at for at, turn in enumerate(turns) if turn.role == "assistant"]
    if not answers or (completion_from is not None and answers[-1] < completion_from):
        roles = ", ".join(turn.role for turn in turns) or "none"
        raise errors.NoAssistantTurn(
            f"{place}: has no assistant turn (its roles: {roles}), so that nothing could be learned from it; add the answer, or "
            "remove the row"
        )
    begins = answers[-1] if completion_from is None else completion_from
    said = [turn for turn in turns if turn.role != "system" or turn.content.strip()]
    return Conversation(tuple(said), begins - (len(turns) - len(said)))


def turns_of(value: Any, place: Place, column: str, role: str | None = None) -> list[Message]:
    """The turns of a column; a plain text is one turn of `role`."""
    if isinstance(value, str) and role:
        return [Message(role, value)]
    if not isinstance(value, list):
        raise errors.InvalidRow(
            f"{place}: {column} is {_kind(value)}; it must be a list of {{role, content}}"
        )
    return [_turn(turn, place, f"{column}[{at}]") for at, turn in enumerate(value)]


def _turn(turn: Any, place: Place, path: str) -> Message:
    if not isinstance(turn, dict):
        raise errors.InvalidRow(
            f"{place}: {path} is {_kind(turn)}; a turn must be an object with role and content"
        )
    role = turn.get("role")
    if role == "tool" or turn.get("tool_calls") or turn.get("weight", 1) != 1:
        what = "a weight" if turn.get("weight", 1) != 1 else "a tool call or its result"
        raise errors.NotYetSupported(
            f"{place}: {path} holds {what}, which is not supported yet; remove the row"
        )
    if role not in ROLES:
        hint = HINTS.get(str(role).lower())
        advice = f"; write {hint!r} instead" if hint else f"; known are {', '.join(ROLES)}"
        raise errors.InvalidRow(f"{place}: {path}.role is {role!r}{advice}")
    return Message(str(role), _content(turn.get("content"), place, f"{path}.content"))


def _content(content: Any, place: Place, path: str) -> str:
    """The words of a turn: a text, or a list of text parts as OpenAI's API has them."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" for part in content
    ):
        return "".join(str(part.get("text", "")) for part in content)
    raise errors.InvalidRow(f"{place}: {path} is {_kind(content)}; it must be a text")


def text_of(row: Row, column: str) -> str:
    """The text of a column; numbers, as CSV and JSON mix them, are taken as they are written."""
    value = _column(row, column)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise errors.InvalidRow(f"{row.place}: {column} is {_kind(value)}; it must be a text")


def _column(row: Row, column: str) -> Any:
    if column not in row.values:
        raise errors.ColumnMissing(f"{row.place}: has no column {column!r}; it has {_listed(row.values)}")
    return row.values[column]


def _kind(value: Any) -> str:
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


def _listed(columns: Iterable[str]) -> str:
    """Columns in their order, at most twenty."""
    names = list(columns)
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") if names else "none"  # noqa: PLR2004 - a sentence

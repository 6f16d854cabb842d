"""A row, where it stands, and what it says: the values that the stages of data preparation hand on."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

LossOn = Literal["Assistant", "Completion", "All"]
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands."""

    file: str
    """As a person knows it: the last part of the URI."""
    number: int
    """Counted from 1."""
    unit: Literal["line", "row"] = "line"
    """Text files have lines, Parquet has rows."""

    def __str__(self) -> str:
        return f"{self.file} {self.unit} {self.number}"


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it was read."""

    place: Place
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: str
    content: str
    learned: bool = True
    """An assistant's turn of weight 0 is shown to the model, but not learned."""
    more: tuple[tuple[str, Any], ...] = ()
    """What else a template may read, in a fixed order: tool_calls, tool_call_id, name."""

    def wire(self) -> dict[str, Any]:
        """As chat templates want it."""
        return {"role": self.role, "content": self.content, **dict(self.more)}


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns, rendered by a chat template."""

    messages: tuple[Message, ...]
    completion_from: int
    """Index of the first turn that counts as completion (`lossOn: Completion`)."""
    tools: tuple[Any, ...] = ()
    """JSON schemas of the functions that the assistant may call."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A prompt and what follows it, as plain text: for models without a chat template."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, all of it learned."""

    text: str


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to the same prompt: for DPO and ORPO. Both sides share the prompt, turn for turn or word for word."""

    chosen: Conversation | Continuation
    rejected: Conversation | Continuation


@dataclass(frozen=True, slots=True)
class Feedback:
    """One answer, and whether it was welcome: for KTO."""

    answered: Conversation | Continuation
    desirable: bool


Content = Conversation | Continuation | Text | Preference | Feedback


@dataclass(frozen=True, slots=True)
class Example:
    """One row, understood."""

    place: Place
    content: Content
    loss_on: LossOn

    def key(self) -> bytes:
        """Equal for rows that say the same and learn the same (16 bytes)."""
        return _digest([self.loss_on, *_said(self.content)])

    def words(self) -> bytes:
        """Equal for rows that say the same, whatever of it is learned and whichever format they came in (16 bytes)."""
        return _digest(_words(self.content))


def _said(content: Content) -> list[Any]:
    """What is said and learned, as JSON data."""
    name = type(content).__name__
    match content:
        case Conversation(messages, completion_from, tools):
            turns = [[m.role, m.content, m.learned, m.more] for m in messages]
            return [name, completion_from, tools, turns]
        case Continuation(prompt, completion):
            return [name, prompt, completion]
        case Text(text):
            return [name, text]
        case Preference(chosen, rejected):
            return [name, _said(chosen), _said(rejected)]
        case Feedback(answered, desirable):
            return [name, desirable, _said(answered)]


def _words(content: Content) -> list[Any]:
    """What is said, as JSON data; of two answers the prompt and the better one."""
    match content:
        case Conversation(messages, _):
            return [[m.role, m.content, *([m.more] if m.more else [])] for m in messages]
        case Continuation(prompt, completion):
            return [["user", prompt], ["assistant", completion]]
        case Text(text):
            return [text]
        case Preference(chosen, _):
            return _words(chosen)
        case Feedback(answered, _):
            return _words(answered)


def _digest(document: list[Any]) -> bytes:
    return hashlib.sha256(json.dumps(document, ensure_ascii=True).encode()).digest()[:16]

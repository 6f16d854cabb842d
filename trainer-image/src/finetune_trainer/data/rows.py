"""A row, where it stands, and what it says: the values that the stages of data preparation hand on."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

LossOn = Literal["Assistant", "Completion", "All"]
ROLES = ("system", "user", "assistant")


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

    def wire(self) -> dict[str, str]:
        """As chat templates want it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns, rendered by a chat template."""

    messages: tuple[Message, ...]
    completion_from: int
    """Index of the first turn that counts as completion (`lossOn: Completion`)."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A prompt and what follows it, as plain text: for models without a chat template."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, all of it learned."""

    text: str


Content = Conversation | Continuation | Text


@dataclass(frozen=True, slots=True)
class Example:
    """One row, understood."""

    place: Place
    content: Content
    loss_on: LossOn

    def key(self) -> bytes:
        """Equal for rows that say the same and learn the same (16 bytes)."""
        match self.content:
            case Conversation(messages, completion_from):
                said: list[Any] = [[m.role, m.content] for m in messages] + [completion_from]
            case Continuation(prompt, completion):
                said = [prompt, completion]
            case Text(text):
                said = [text]
        return _digest([type(self.content).__name__, self.loss_on, *said])

    def words(self) -> bytes:
        """Equal for rows that say the same, whatever of it is learned and whichever format they came in (16 bytes)."""
        match self.content:
            case Conversation(messages, _):
                return _digest([[m.role, m.content] for m in messages])
            case Continuation(prompt, completion):
                return _digest([["user", prompt], ["assistant", completion]])
            case Text(text):
                return _digest([text])


def _digest(document: list[Any]) -> bytes:
    return hashlib.sha256(json.dumps(document, ensure_ascii=True).encode()).digest()[:16]

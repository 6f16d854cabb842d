"""The prompts that base and tuned model will answer: those of the spec, then the first held-out rows with their own answers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from finetune_trainer.data.rows import Continuation, Conversation, Example, Message
from finetune_trainer.prepared import Sample

HELD_OUT = 3
"""Held-out rows that are answered too."""


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """How a prompt becomes tokens, in the way the training rows did."""

    tokenizer: Any
    renderer: Any
    chat: bool
    """Whether the rows are rendered by the chat template."""

    def samples(self, asked: Iterable[str], held: Iterable[Example]) -> list[Sample]:
        """`asked` as one user turn each, then up to three of `held`."""
        spec = [self._sample("spec", (Message("user", prompt),), None) for prompt in asked]
        answerable = (found for example in held if (found := _split(example)))
        return [
            *spec,
            *(self._sample("held-out", *pair) for pair, _ in zip(answerable, range(HELD_OUT), strict=False)),
        ]

    def _sample(self, source: str, messages: tuple[Message, ...], expected: str | None) -> Sample:
        return Sample(
            source=source,
            messages=tuple(message.wire() for message in messages),
            expected=expected,
            input_ids=tuple(self._tokens(messages)),
        )

    def _tokens(self, messages: tuple[Message, ...]) -> Iterator[int]:
        text = self.renderer.prompt(list(messages)) if self.chat else "\n".join(m.content for m in messages)
        yield from self.tokenizer(text, add_special_tokens=not self.chat)["input_ids"]


def _split(example: Example) -> tuple[tuple[Message, ...], str] | None:
    """What comes before the last answer, and that answer; None for plain text, which asks nothing."""
    match example.content:
        case Conversation(messages, _):
            last = max((at for at, one in enumerate(messages) if one.role == "assistant"), default=0)
            return (messages[:last], messages[last].content) if last else None
        case Continuation(prompt, completion):
            return (Message("user", prompt),), completion
    return None

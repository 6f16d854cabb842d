"""The prompts that base and tuned model will answer: those of the spec, then the first held-out rows with their own answers."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from finetune_trainer.data.rows import (
    Content,
    Continuation,
    Conversation,
    Example,
    Feedback,
    Message,
    Preference,
)
from finetune_trainer.prepared import Sample

HELD_OUT = 3
"""Held-out rows that are answered too, where no metric asks for more."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What comes before an answer, and the answer."""

    messages: tuple[Message, ...]
    expected: str | None = None
    tools: tuple[Any, ...] = ()
    chat: bool
    """Whether the chat template renders it."""


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """How a prompt becomes tokens, in the way the training rows did."""

    tokenizer: Any
    renderer: Any
    chat: bool
    """Whether the spec's prompts are rendered by the chat template. Held-out rows are asked as they were trained on."""

    def samples(self, asked: Iterable[str], held: Iterable[Example], *, most: int = HELD_OUT) -> list[Sample]:
        """`asked` as one user turn each, then up to `most` of `held`."""
        spec = [
            self._sample("spec", _Asked(messages=(Message("user", prompt),), chat=self.chat))
            for prompt in asked
        ]
        answerable = (found for example in held if (found := _asked(example.content)))
        return [
            *spec,
            *(self._sample("held-out", one) for one in itertools.islice(answerable, most)),
        ]

    def _sample(self, source: str, asked: _Asked) -> Sample:
        return Sample(
            source=source,
            messages=tuple(message.wire() for message in asked.messages),
            expected=asked.expected,
            input_ids=tuple(self._tokens(asked)),
        )

    def _tokens(self, asked: _Asked) -> list[int]:
        turns = list(asked.messages)
        text = self.renderer.prompt(turns, asked.tools) if asked.chat else "\n".join(m.content for m in turns)
        return list(self.tokenizer(text, add_special_tokens=not asked.chat)["input_ids"])


def _asked(content: Content) -> _Asked | None:
    """What comes before the last answer, the better one of two. None for plain text, which asks nothing, and for bad answers."""
    match content:
        case Conversation(messages, _, tools):
            last = max((at for at, one in enumerate(messages) if one.role == "assistant"), default=0)
            if not last:
                return None
            return _Asked(messages=messages[:last], expected=_answer(messages[last]), tools=tools, chat=True)
        case Continuation(prompt, completion):
            return _Asked(messages=(Message("user", prompt),), expected=completion, chat=False)
        case Preference(chosen, _):
            return _asked(chosen)
        case Feedback(answered, desirable):
            return _asked(answered) if desirable else None
    return None


def _answer(message: Message) -> str:
    """The words of an answer; where it only calls tools, its calls as JSON."""
    calls = dict(message.more).get("tool_calls")
    return json.dumps(calls, ensure_ascii=False) if calls and not message.content else message.content

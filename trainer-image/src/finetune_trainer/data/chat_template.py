"""A chat template, rendered: the model's own or the author's, in the sandbox that transformers runs it in."""

import datetime as dt
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from finetune_trainer import errors
from finetune_trainer.data.families import Span
from finetune_trainer.data.rows import Message

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
TODAY = dt.datetime(2024, 7, 26, tzinfo=dt.UTC)
"""What templates are told when they ask for the date: a rendering must not change from one day to the next."""
Made = TypeVar("Made")
Turns = Sequence[Mapping[str, Any]]
"""Messages as templates read them."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """A conversation as the template writes it."""

    turns: list[dict[str, Any]]
    text: str
    generations: list[Span] | None
    """What stands in `{% generation %}`; None where the template has none."""


class ChatTemplate:
    """One template with one tokenizer's special tokens."""

    def __init__(self, source: str, specials: Mapping[str, str]) -> None:
        """`source`: Jinja; `specials`: `bos_token`, `eos_token`, ..., which templates read by these names."""
        self.source = source
        self.marks_generations = bool(GENERATION.search(source))
        self._specials = dict(specials)

    def syntax_error(self) -> tuple[int, str] | None:
        """Line and message of what is not valid Jinja in it."""
        import jinja2  # noqa: PLC0415 - comes with transformers, see _engine

        try:
            _compiled(self.source)
        except jinja2.TemplateSyntaxError as error:
            return error.lineno, str(error.message)
        return None

    def rendering(self, messages: Sequence[Message], tools: Sequence[Any]) -> Rendering:
        """The whole conversation. Raises whatever the template does."""
        return self._either_way(messages, lambda turns: self._rendering(turns, tools))

    def prompt(self, messages: Sequence[Message], tools: Sequence[Any]) -> str:
        """The conversation with the beginning of the assistant's turn behind it. Raises whatever the template does."""
        return self._either_way(messages, lambda turns: self.text(turns, tools, prompt=True))

    def _either_way(self, messages: Sequence[Message], made: Callable[[list[dict[str, Any]]], Made]) -> Made:
        """Arguments of tool calls are data for most templates, and text for a few, which fail on data."""
        try:
            return made(_turns(messages))
        except errors.Interrupted:
            raise
        except Exception:
            if not any("tool_calls" in dict(message.more) for message in messages):
                raise
        return made(_turns(messages, arguments_as_text=True))

    def _rendering(self, turns: list[dict[str, Any]], tools: Sequence[Any]) -> Rendering:
        if not self.marks_generations:
            return Rendering(turns, self.text(turns, tools), None)
        text, spans = _engine()._render_with_assistant_indices(  # noqa: SLF001 - see _compiled
            _compiled(self.source), **self._seen(turns, tools)
        )
        answers = sum(turn["role"] == "assistant" for turn in turns)
        return Rendering(turns, str(text), _joined([(int(start), int(end)) for start, end in spans], answers))

    def text(self, turns: Turns, tools: Sequence[Any], *, prompt: bool = False) -> str:
        """What the template writes; `prompt`: with the beginning of the assistant's turn behind it."""
        return str(_compiled(self.source).render(**self._seen(turns, tools, prompt=prompt)))

    def _seen(self, turns: Turns, tools: Sequence[Any], *, prompt: bool = False) -> dict[str, Any]:
        """All that a template may read."""
        return {
            "messages": turns,
            "tools": _engine()._plain_template_data(list(tools)) if tools else None,  # noqa: SLF001 - see turns
            "documents": None,
            "add_generation_prompt": prompt,
            "date_string": _DATE,
            "strftime_now": TODAY.strftime,
            **self._specials,
        }


def _turns(messages: Sequence[Message], *, arguments_as_text: bool = False) -> list[dict[str, Any]]:
    """`messages` as templates read them: plain JSON data."""
    turns = [message.wire() for message in messages]
    if not any(message.more for message in messages):
        return turns
    plain = _engine()._plain_template_data(turns)  # noqa: SLF001 - what transformers itself does to messages
    for turn in plain:
        if turn.get("tool_calls"):
            turn["tool_calls"] = [_call(call, as_text=arguments_as_text) for call in turn["tool_calls"]]
    aliased: list[dict[str, Any]] = _engine()._alias_reasoning_fields(plain)  # noqa: SLF001 - same
    return aliased


def _call(call: dict[str, Any], *, as_text: bool) -> dict[str, Any]:
    function = call.get("function", call)
    arguments = function.get("arguments")
    if isinstance(arguments, str) and not as_text:
        arguments = _data(arguments)
    elif as_text and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    told = {**function, "arguments": arguments}
    return {**call, "function": told} if "function" in call else told


_DATE = TODAY.strftime("%d %b %Y")


@functools.cache
def _engine() -> Any:
    from transformers.utils import chat_template_utils  # noqa: PLC0415 - seconds of import

    return chat_template_utils


def _compiled(source: str) -> Any:
    """The template as transformers compiles it, and keeps it: its sandbox, its filters, its `{% generation %}`.

    What transformers has for the public copies every message each time, which takes as long as rendering it.
    """
    return _engine()._compile_jinja_template(source)  # noqa: SLF001 - a test holds it to what transformers has for the public


def _joined(spans: list[Span], count: int) -> list[Span]:
    """`spans`, those that touch made one where there are more than `count`: a template may mark one turn in two pieces."""
    if len(spans) <= count:
        return spans
    joined: list[Span] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _data(arguments: str) -> Any:
    """What the text of a tool call's arguments says; the text itself where it is no JSON."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments

"""An example as a person reads it: one line a turn, and which of it is learned. For tests/data/formats and the docs."""

import json
from collections.abc import Iterator

from finetune_trainer.data.rows import (
    Content,
    Continuation,
    Conversation,
    Example,
    Feedback,
    LossOn,
    Message,
    Preference,
    Text,
)


def told(example: Example) -> str:
    """The lines of an example."""
    return "\n".join(_lines(example.content, example.loss_on))


def _lines(content: Content, loss: LossOn) -> Iterator[str]:
    match content:
        case Text(text):
            yield _line("text", text, learned=True)
        case Continuation(prompt, completion):
            yield _line("prompt", prompt, learned=loss == "All")
            yield _line("completion", completion, learned=True)
        case Conversation(messages, completion_from, tools):
            yield from _tools(tools)
            for at, message in enumerate(messages):
                answer = message.role == "assistant" and message.learned
                learned = loss == "All" or (answer and (loss == "Assistant" or at >= completion_from))
                yield _line(message.role, _said(message), learned=learned)
        case Preference(chosen, rejected):
            yield from _asked(chosen)
            assert list(_asked(chosen)) == list(_asked(rejected))
            yield from _answer("chosen", chosen)
            yield from _answer("rejected", rejected)
        case Feedback(answered, desirable):
            yield from _asked(answered)
            yield from _answer("welcome" if desirable else "unwelcome", answered)


def _asked(one: Conversation | Continuation) -> Iterator[str]:
    if isinstance(one, Continuation):
        yield _line("prompt", one.prompt)
        return
    yield from _tools(one.tools)
    yield from (_line(message.role, _said(message)) for message in one.messages[: one.completion_from])


def _answer(name: str, one: Conversation | Continuation) -> Iterator[str]:
    if isinstance(one, Continuation):
        yield _line(name, one.completion)
        return
    for message in one.messages[one.completion_from :]:
        yield _line(name if message.role == "assistant" else f"{name}, {message.role}", _said(message))


def _tools(tools: tuple[object, ...]) -> Iterator[str]:
    if tools:
        yield _line("tools", json.dumps(tools, ensure_ascii=False))


def _said(message: Message) -> str:
    calls = [
        f"{call['function']['name']}({json.dumps(call['function']['arguments'], ensure_ascii=False)})"
        for call in dict(message.more).get("tool_calls", [])
    ]
    return " ".join(part for part in (message.content, *(f"[calls {call}]" for call in calls)) if part)


def _line(name: str, said: str, *, learned: bool = False) -> str:
    said = said.replace("\n", "\\n")
    return f"{name}{' (learned)' if learned else ''}: {said}"

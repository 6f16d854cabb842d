"""What of a row is asked and what is answered, as plain text: for the checks that look at words, never for what is trained on."""

import json
from collections.abc import Iterator, Sequence

from finetune_trainer.data.rows import (
    Content,
    Continuation,
    Conversation,
    Example,
    Feedback,
    Message,
    Preference,
    Text,
)

Answered = Conversation | Continuation


def words_of(message: Message) -> str:
    """All that a turn says: its text, and the tool calls in it."""
    return (
        f"{message.content}\n{json.dumps(message.more, ensure_ascii=False)}"
        if message.more
        else message.content
    )


def said(content: Content) -> Iterator[str]:
    """All that is said in a row."""
    match content:
        case Conversation(messages):
            yield from (words_of(message) for message in messages)
        case Continuation(prompt, completion):
            yield from (prompt, completion)
        case Text(text):
            yield text
        case Preference(chosen, rejected):
            yield from said(chosen)
            yield from (words_of(message) for message in answer_turns(rejected))
        case Feedback(answered):
            yield from said(answered)


def learned(example: Example) -> Iterator[str]:
    """What of a row the model shall say itself; of two answers the better one."""
    content = example.content
    match content:
        case Conversation(messages) if example.loss_on == "Completion":
            yield from _learned(messages[content.completion_from :])
        case Conversation(messages):
            yield from _learned(messages)
        case Continuation(_, completion):
            yield completion
        case Text(text):
            yield text
        case Preference(answered) | Feedback(answered):
            yield from (message.content for message in answer_turns(answered))


def _learned(messages: Sequence[Message]) -> Iterator[str]:
    return (message.content for message in messages if message.role == "assistant" and message.learned)


def prompt_turns(content: Answered) -> Sequence[Message]:
    """The turns before the completion; a plain prompt is one turn of the user."""
    if isinstance(content, Conversation):
        return content.messages[: content.completion_from]
    return (Message("user", content.prompt),)


def answer_turns(content: Answered) -> Sequence[Message]:
    """The completion's turns; a plain completion is one turn of the assistant."""
    if isinstance(content, Conversation):
        return content.messages[content.completion_from :]
    return (Message("assistant", content.completion),)


def answered(content: Answered | Preference | Feedback) -> Answered:
    """The one answer a row is judged by: of two the better one."""
    match content:
        case Preference(one) | Feedback(one):
            return one
        case _:
            return content

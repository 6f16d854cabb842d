"""Rows that are left out, and why. Nothing is dropped in silence: each one is counted, and the first ones are named."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from finetune_trainer import config
from finetune_trainer.data.rows import (
    Content,
    Continuation,
    Conversation,
    Example,
    Feedback,
    Place,
    Preference,
    Text,
)
from finetune_trainer.prepared import Dropped

MAX_PLACES = 20
"""Places kept for each reason."""
NGRAM = 3
"""Words: a phrase of three that comes again is a repetition."""


@dataclass
class Drops:
    """Counts by reason, with the first places."""

    places: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, place: Place) -> None:
        """One more."""
        self.rows[reason] = self.rows.get(reason, 0) + 1
        named = self.places.setdefault(reason, [])
        if len(named) < MAX_PLACES:
            named.append(str(place))

    @property
    def report(self) -> dict[str, Dropped]:
        """By reason, sorted."""
        return {
            reason: Dropped(rows=self.rows[reason], places=tuple(self.places[reason]))
            for reason in sorted(self.rows)
        }


def kept(examples: Iterable[Example], quality: config.Quality, drops: Drops) -> Iterator[Example]:
    """The examples that may stay. The first of equal rows stays."""
    seen: set[bytes] = set()
    blocked = _blocked(quality.blocklist)
    for example in examples:
        key = example.key()
        reason = _empty(example) or _unwanted(example, quality, blocked)
        if reason is None and quality.duplicates.exact and key in seen:
            reason = "ExactDuplicate"
        if reason:
            drops.add(reason, example.place)
        else:
            seen.add(key)
            yield example


def _empty(example: Example) -> str | None:
    """A turn without words: nothing is asked, or nothing is answered."""
    return _empty_content(example.content)


def _empty_content(content: Content) -> str | None:
    match content:
        case Conversation(messages, _):
            empty = {message.role for message in messages if not message.content.strip()}
            return "EmptyAnswer" if "assistant" in empty else "EmptyPrompt" if empty else None
        case Continuation(_, completion):
            return None if completion.strip() else "EmptyAnswer"
        case Text(text):
            return None if text.strip() else "EmptyText"
        case Preference(chosen, rejected):
            return _empty_content(chosen) or _empty_content(rejected)
        case Feedback(answered, _):
            return _empty_content(answered)


def _unwanted(example: Example, quality: config.Quality, blocked: re.Pattern[str] | None) -> str | None:
    if blocked and any(blocked.search(words) for words in _said(example)):
        return "Blocklisted"
    if (
        quality.max_repetition is not None
        and _repetition(" ".join(_learned(example))) > quality.max_repetition
    ):
        return "Repetitive"
    return None


def _blocked(words: Iterable[str]) -> re.Pattern[str] | None:
    """One pattern for all words. Whole words where script has spaces between them, anywhere where it has none."""
    parts = [rf"(?<!\w){re.escape(word)}(?!\w)" if word.isascii() else re.escape(word) for word in words]
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def _repetition(text: str) -> float:
    """Share of phrases of three words that stood there before (0..1)."""
    words = text.split()
    phrases = [tuple(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)]
    return 1 - len(set(phrases)) / len(phrases) if phrases else 0.0


def _said(example: Example) -> list[str]:
    """All that is said in a row."""
    return _said_in(example.content)


def _said_in(content: Content) -> list[str]:
    match content:
        case Conversation(messages, _):
            return [message.content for message in messages]
        case Continuation(prompt, completion):
            return [prompt, completion]
        case Text(text):
            return [text]
        case Preference(chosen, rejected):
            return [*_said_in(chosen), *_said_in(rejected)]
        case Feedback(answered, _):
            return _said_in(answered)


def _learned(example: Example) -> list[str]:
    """What of it is an answer."""
    if isinstance(example.content, Conversation):
        return [message.content for message in example.content.messages if message.role == "assistant"]
    return _said(example)[-1:]

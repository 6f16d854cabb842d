"""Rows that are left out, and why. Nothing is dropped in silence: each one is counted, and the first ones are named.

What can be told from one row alone is told here, by a `Judge`; what takes all rows (copies, leaks) is decided in `deciding`
and `near`, what takes tokens (too short, too long) where the tables are written.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from finetune_trainer import config
from finetune_trainer.data import parts
from finetune_trainer.data.rows import (
    Content,
    Continuation,
    Conversation,
    Example,
    Feedback,
    Message,
    Place,
    Preference,
    Text,
)
from finetune_trainer.prepared import Dropped

MAX_PLACES = 20
"""Places kept for each reason."""
MAX_PLACE = 160
"""Characters of a place: names of files may have a thousand."""
NGRAM = 3
"""Words: a phrase of three that comes again is a repetition."""
NGRAM_OF_SIGNS = 6
"""Characters, where words are not told apart by spaces: about three words."""
SPACELESS = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # Japanese
    "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    "]"
)
"""Scripts without spaces between words."""
ENDINGS = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
"""Korean: words have spaces between them, but particles grow on to them."""
WORDS = re.compile(r"\w+")

REASONS = {
    "Blocklisted": "it holds a word of `spec.dataset.quality.blocklist`",
    "EmptyAnswer": "an answer in it has no words",
    "EmptyPrompt": "a prompt in it has no words",
    "EmptyText": "it has no words",
    "ExactDuplicate": "an earlier row says the same, and the same part of it is learned",
    "IdenticalAnswers": "the better (chosen) and the worse (rejected) answer are the same",
    "InEval": "a row of `spec.dataset.eval` says the same, and held-out rows are not trained on",
    "NearDuplicate": "it is at least as similar to an earlier row as `spec.dataset.quality.duplicates.near` says",
    "NearEval": (
        "it is at least as similar to a row of `spec.dataset.eval` as `spec.dataset.quality.duplicates.near` says, and held-out "
        "rows are not trained on"
    ),
    "NotDrawn": "the `weight` of its source is below 1, and it was not drawn",
    "NothingLearned": "none of its tokens is learned",
    "Repetitive": "more of its answer is repeated than `spec.dataset.quality.maxRepetition` allows",
    "TooLong": "cut to `spec.training.maxLength`, none of its tokens is learned",
    "TooManyTokens": "it has more tokens than `spec.dataset.quality.maxTokens`",
    "TooShort": "it has fewer tokens than `spec.dataset.quality.minTokens`",
}
"""Why a row is left out: in the report, in the status and in docs/data-quality.md."""


@dataclass
class Drops:
    """Counts by reason, with the first places."""

    places: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, place: Place, note: str = "") -> None:
        """One more. `note` says what else a person may want to know: of which row it is a copy."""
        self.rows[reason] = self.rows.get(reason, 0) + 1
        named = self.places.setdefault(reason, [])
        if len(named) < MAX_PLACES:
            named.append(f"{_shortened(place)} ({note})" if note else _shortened(place))

    @property
    def report(self) -> dict[str, Dropped]:
        """By reason, sorted."""
        return {
            reason: Dropped(rows=self.rows[reason], places=tuple(self.places[reason]))
            for reason in sorted(self.rows)
        }


class Judge:
    """The checks that need one row alone. Made once in each process; the same row always gets the same judgement."""

    def __init__(self, quality: config.Quality) -> None:
        self._blocked = Blocklist.of(quality.blocklist)
        self._max_repetition = quality.max_repetition

    def __call__(self, example: Example) -> str | None:
        """Why `example` is left out; None: it may stay."""
        if reason := _empty(example.content) or _same_answers(example.content):
            return reason
        if self._blocked and any(self._blocked.found(text) for text in parts.said(example.content)):
            return "Blocklisted"
        if (
            self._max_repetition is not None
            and _repetition(" ".join(parts.learned(example))) > self._max_repetition
        ):
            return "Repetitive"
        return None


def _empty(content: Content) -> str | None:
    """A turn without words: nothing is asked, or nothing is answered."""
    match content:
        case Conversation(messages):
            silent = {message.role for message in messages if _silent(message)}
            return "EmptyAnswer" if "assistant" in silent else "EmptyPrompt" if silent else None
        case Continuation(_, completion):
            return None if completion.strip() else "EmptyAnswer"
        case Text(text):
            return None if text.strip() else "EmptyText"
        case Preference(chosen, rejected):
            return _empty(chosen) or _empty(rejected)
        case Feedback(answered):
            return _empty(answered)


def _silent(message: Message) -> bool:
    """Without words, where words are due: a tool may have nothing to say, and a call of a tool says enough."""
    return message.role != "tool" and not message.more and not message.content.strip()


def _same_answers(content: Content) -> str | None:
    """A preference between an answer and itself teaches nothing."""
    if not isinstance(content, Preference):
        return None
    chosen, rejected = (
        [(turn.role, turn.content.strip(), turn.more) for turn in parts.answer_turns(side)]
        for side in (content.chosen, content.rejected)
    )
    return "IdenticalAnswers" if chosen == rejected else None


@dataclass(frozen=True)
class Blocklist:
    """Words that must not be there, upper and lower case alike. Fast for a thousand words and a million rows."""

    words: frozenset[str]
    """Looked for as whole words."""
    phrases: tuple[tuple[str, re.Pattern[str]], ...]
    """More than a word: a text it must hold (quick), and a pattern that is sure."""

    @classmethod
    def of(cls, blocklist: Sequence[str]) -> "Blocklist | None":
        """None where nothing is blocked."""
        folded = sorted({word.casefold() for word in blocklist})
        whole = {word for word in folded if WORDS.fullmatch(word) and not _anywhere(word)}
        phrases = tuple((word, _phrase(word)) for word in folded if word not in whole)
        return cls(frozenset(whole), phrases) if folded else None

    def found(self, text: str) -> bool:
        """Whether `text` holds one of them."""
        text = text.casefold()
        return not self.words.isdisjoint(WORDS.findall(text)) or any(
            part in text and pattern.search(text) for part, pattern in self.phrases
        )


def _anywhere(word: str) -> bool:
    """Whether a word's ends cannot be told: it is found inside others too."""
    return bool(SPACELESS.search(word) or ENDINGS.search(word))


def _phrase(word: str) -> re.Pattern[str]:
    plain = re.escape(word)
    return re.compile(plain if _anywhere(word) else rf"(?<!\w){plain}(?!\w)")


def _repetition(text: str) -> float:
    """Share of phrases of three words that stood there before (0..1)."""
    signs = SPACELESS.findall(text)
    spaceless = 2 * len(signs) > sum(map(str.isalnum, text))
    units, length = (list(text), NGRAM_OF_SIGNS) if spaceless else (text.split(), NGRAM)
    phrases = [tuple(units[at : at + length]) for at in range(len(units) - length + 1)]
    return 1 - len(set(phrases)) / len(phrases) if phrases else 0.0


def _shortened(place: Place) -> str:
    """A place as the report names it: the end of a long name says more than its beginning."""
    text = str(place)
    return text if len(text) <= MAX_PLACE else f"...{text[3 - MAX_PLACE :]}"

"""Preferences and feedback to token ids: a prompt, and one or two answers behind it.

The prompt is what the chat template gives before the answer (or the raw prompt), an answer ends with its end of turn:
`prompt + answer` is what the model sees. Both answers of a pair stand behind the very same prompt tokens.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from finetune_trainer import errors
from finetune_trainer.data.boundaries import Tokens
from finetune_trainer.data.families import Span
from finetune_trainer.data.rows import Continuation, Conversation, Example, Feedback, Place, Preference
from finetune_trainer.data.tokenise import BATCH, IGNORED, Tokeniser

Answered = Conversation | Continuation
Pieces = tuple[list[int], list[int]]
"""Token ids of a prompt and of the answer behind it."""


@dataclass(frozen=True, slots=True)
class Split:
    """The text of a prompt with one answer."""

    text: str
    answer: int
    """Character at which the answer begins."""
    raw: bool
    """Plain text: the tokenizer puts its own beginning before it, and eos goes behind it."""
    plain: tuple[Span, ...] = ()
    """Stretches in which somebody writes what looks like a special token: it is text there."""
    endless: bool = False
    """Whether the chat template leaves the answer open."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One row as the model trains on it: a prompt, and its answers."""

    example: Example
    prompt: list[int]
    answers: tuple[list[int], ...]
    """Chosen and rejected, or the one that was judged."""
    endless: bool = False
    """Whether the chat template leaves an answer open."""
    quoting: bool = False
    """Whether somebody writes special tokens as words."""

    @property
    def ids(self) -> tuple[list[int], ...]:
        """Its sequences of token ids."""
        return (self.prompt, *self.answers)

    @property
    def tokens(self) -> int:
        """Tokens that the model sees: the prompt once with each answer."""
        return sum(len(self.prompt) + len(answer) for answer in self.answers)

    @property
    def longest(self) -> int:
        """Tokens of its longest sequence."""
        return len(self.prompt) + max(len(answer) for answer in self.answers)

    @property
    def supervised(self) -> int:
        """Tokens of the answers; none where two answers are the same, or one is empty."""
        if not all(self.answers) or len({tuple(answer) for answer in self.answers}) < len(self.answers):
            return 0
        return sum(map(len, self.answers))

    @property
    def end(self) -> int:
        """The last token of the answer that is chosen or judged, `IGNORED` where it has none."""
        return self.answers[0][-1] if self.answers[0] else IGNORED

    def cut(self, max_length: int) -> "Compared":
        """The same with each answer cut from its end, so that it fits into `max_length` tokens behind the prompt."""
        if self.longest <= max_length:
            return self
        room = max(max_length - len(self.prompt), 0)
        answers = tuple(answer[:room] for answer in self.answers)
        return Compared(self.example, self.prompt, answers, self.endless, self.quoting)


def encode(tokeniser: Tokeniser, examples: Iterable[Example]) -> Iterator[Compared]:
    """Each example, in order. Raises `InvalidRow`, `InvalidChatTemplate`."""
    remaining = iter(examples)
    while batch := list(itertools.islice(remaining, BATCH)):
        splits = [_splits(tokeniser, example) for example in batch]
        flat = [one for row in splits for one in row]
        chat = iter(tokeniser.vocabulary.tokens([one.text for one in flat if not one.raw], special=False))
        plain = iter(tokeniser.vocabulary.tokens([one.text for one in flat if one.raw], special=True))
        for example, row in zip(batch, splits, strict=True):
            pieces = _together([_whole(one, next(plain if one.raw else chat)) for one in row]) or [
                _apart(tokeniser, one, example.place) for one in row
            ]
            answers = tuple(
                _ended(answer, tokeniser.vocabulary.eos) if one.raw else answer
                for one, (_, answer) in zip(row, pieces, strict=True)
            )
            endless, quoting = any(one.endless for one in row), any(one.plain for one in row)
            yield Compared(example, pieces[0][0], answers, endless, quoting)


def _splits(tokeniser: Tokeniser, example: Example) -> list[Split]:
    """The texts of a row: two for a preference, which share what stands before the answer."""
    match example.content:
        case Preference(chosen, rejected):
            one, other = (_split(tokeniser, side, example) for side in (chosen, rejected))
            shared = min(one.answer, other.answer)  # a thought of one answer may make its prompt seem longer
            if one.text[:shared] != other.text[:shared]:
                raise errors.InvalidChatTemplate(
                    f"{example.place}: the chat template writes the prompt of the better (chosen) answer differently from that of "
                    "the worse (rejected) one, so they cannot be compared; set spec.model.chatTemplate to one that writes them "
                    "alike"
                )
            return [replace(side, answer=shared) for side in (one, other)]
        case Feedback(answered):
            return [_split(tokeniser, answered, example)]
        case _:
            raise TypeError(f"{example.place}: has no answers to compare; see tokenise")


def _split(tokeniser: Tokeniser, answered: Answered, example: Example) -> Split:
    if isinstance(answered, Continuation):
        return Split(answered.prompt + answered.completion, len(answered.prompt), raw=True)
    rendered = tokeniser.renderer.render(answered, example.place)
    turns = [at for at, message in enumerate(answered.messages) if message.role == "assistant"]
    spans = zip(turns, rendered.spans, strict=True)
    start = next(start for at, (start, _) in spans if at >= answered.completion_from)
    end = rendered.spans[-1][1]
    plain = _within(rendered.plain, end)
    return Split(rendered.text[:end], start, raw=False, plain=plain, endless=rendered.endless)


def _within(spans: Iterable[Span], end: int) -> tuple[Span, ...]:
    """What of `spans` stands before character `end`."""
    return tuple((start, min(behind, end)) for start, behind in spans if start < end)


def _whole(split: Split, found: Tokens) -> Pieces | None:
    """Prompt and answer, tokenised in one; None where that cannot be, or a token reaches from the one into the other."""
    if split.plain or found.straddled([split.answer]):
        return None
    first = found.first(split.answer)
    return found.ids[:first], found.ids[first:]


def _together(whole: Sequence[Pieces | None]) -> list[Pieces] | None:
    """`whole`, if every row could be parted, and all have the same prompt."""
    found = [one for one in whole if one]
    same = len(found) == len(whole) and all(prompt == found[0][0] for prompt, _ in found)
    return found if same else None


def _apart(tokeniser: Tokeniser, split: Split, place: Place) -> Pieces:
    """Prompt and answer, each tokenised on its own, as at inference."""
    found = tokeniser.in_pieces(split.text, [split.answer], split.plain, place=place, raw=split.raw)
    first = found.first(split.answer)
    return found.ids[:first], found.ids[first:]


def _ended(answer: list[int], eos: int) -> list[int]:
    return answer if answer and answer[-1] == eos else [*answer, eos]

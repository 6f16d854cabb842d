"""Examples to token ids, and which of them are learned. The mask is drawn on characters first, then carried over to tokens."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_trainer import errors
from finetune_trainer.data.boundaries import Boundaries, Pieces, Tokens
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.families import Span
from finetune_trainer.data.rows import Continuation, Conversation, Example, Feedback, Place, Preference, Text
from finetune_trainer.data.vocabulary import Vocabulary

IGNORED = -100
"""The label of tokens that are not learned (torch's cross_entropy)."""
BATCH = 256
"""Rows given to the tokenizer at once: it spreads them over the CPUs."""


@dataclass(frozen=True, slots=True)
class Marked:
    """Text with the characters that are learned."""

    text: str
    learned: tuple[Span, ...]
    """In rising order, none within another."""
    raw: bool
    """Plain text: the tokenizer puts its own beginning before it, and eos goes behind it."""
    plain: tuple[Span, ...] = ()
    """Stretches in which somebody writes what looks like a special token: it is text there."""
    endless: bool = False
    """Whether the chat template leaves the last answer open."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One row as the model trains on it."""

    example: Example
    input_ids: list[int]
    learned: tuple[Span, ...]
    """Which of the tokens: start and end (exclusive) in tokens, in rising order."""
    endless: bool = False
    """Whether the chat template leaves the last answer open."""
    quoting: bool = False
    """Whether there are special tokens in what somebody says; of plain text, those that a chat template writes."""

    @property
    def labels(self) -> list[int]:
        """As long as input_ids; `IGNORED` where nothing is learned."""
        made = [IGNORED] * len(self.input_ids)
        for start, end in self.learned:
            made[start:end] = self.input_ids[start:end]
        return made

    @property
    def supervised(self) -> int:
        """Learned tokens. The first token is never predicted, so its label does not count."""
        return sum(end - max(start, 1) for start, end in self.learned if end > 1)

    @property
    def tokens(self) -> int:
        """Tokens that the model sees."""
        return len(self.input_ids)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence: there is one."""
        return len(self.input_ids)

    @property
    def end(self) -> int:
        """The last learned token, `IGNORED` where there is none."""
        return self.input_ids[self.learned[-1][1] - 1] if self.learned else IGNORED

    @property
    def ids(self) -> tuple[list[int], ...]:
        """Its sequences of token ids."""
        return (self.input_ids,)

    def cut(self, max_length: int) -> "Encoded":
        """The first `max_length` tokens."""
        if len(self.input_ids) <= max_length:
            return self
        learned = tuple((start, min(end, max_length)) for start, end in self.learned if start < max_length)
        return Encoded(self.example, self.input_ids[:max_length], learned, self.endless, self.quoting)


class Tokeniser:
    """One tokenizer, with the renderer of its chat template."""

    def __init__(self, tokenizer: Any, renderer: Renderer) -> None:
        """`tokenizer`: a fast one of transformers, or its `Vocabulary`."""
        self.vocabulary = tokenizer if isinstance(tokenizer, Vocabulary) else Vocabulary.of(tokenizer)
        self.renderer = renderer
        self._written = () if self.vocabulary.plain_specials else renderer.written

    def encode(self, examples: Iterable[Example]) -> Iterator[Encoded]:
        """Each example, in order. Raises `InvalidRow`, `InvalidChatTemplate`."""
        remaining = iter(examples)
        while batch := list(itertools.islice(remaining, BATCH)):
            marked = [self.mark(example) for example in batch]
            chat = iter(self.vocabulary.tokens([one.text for one in marked if not one.raw], special=False))
            plain = iter(self.vocabulary.tokens([one.text for one in marked if one.raw], special=True))
            for example, one in zip(batch, marked, strict=True):
                yield self._labelled(example, one, next(plain if one.raw else chat))

    def mark(self, example: Example) -> Marked:
        """The text of `example`, and which characters of it are learned. Raises `InvalidRow`, `InvalidChatTemplate`."""
        match example.content:
            case Text(text):
                return Marked(text, ((0, len(text)),), raw=True)
            case Continuation(prompt, completion):
                text = prompt + completion
                begins = 0 if example.loss_on == "All" else len(prompt)
                return Marked(text, ((begins, len(text)),), raw=True)
            case Conversation():
                return self._mark_conversation(example, example.content)
            case Preference() | Feedback():
                raise TypeError(f"{example.place}: answers that are compared have no mask; see pairs")

    def _mark_conversation(self, example: Example, content: Conversation) -> Marked:
        rendered = self.renderer.render(content, example.place)
        turns = [at for at, message in enumerate(content.messages) if message.role == "assistant"]
        spans = list(zip(turns, rendered.spans, strict=True))
        shown = [span for at, span in spans if not content.messages[at].learned]
        learned = [
            span
            for at, span in spans
            if content.messages[at].learned
            and (example.loss_on == "Assistant" or at >= content.completion_from)
        ]
        everything = example.loss_on == "All"
        return Marked(
            rendered.text,
            _without(len(rendered.text), shown) if everything else tuple(learned),
            raw=False,
            plain=rendered.plain,
            endless=rendered.endless,
        )

    def _labelled(self, example: Example, marked: Marked, whole: Tokens) -> Encoded:
        starts = [start for start, _ in marked.learned]
        apart = bool(marked.plain) or whole.straddled(starts)
        place = example.place
        found = (
            self.in_pieces(marked.text, starts, marked.plain, place=place, raw=marked.raw) if apart else whole
        )
        ids = found.ids
        spans = ((found.first(start), found.first(end)) for start, end in marked.learned)
        learned = [(first, behind) for first, behind in spans if first < behind]
        if marked.raw:
            if not ids or ids[-1] != self.vocabulary.eos:
                ids = [*ids, self.vocabulary.eos]
            learned = _ended(learned, len(ids))
        quoting = any(token in marked.text for token in self._written) if marked.raw else bool(marked.plain)
        return Encoded(example, ids, tuple(learned), marked.endless, quoting)

    def in_pieces(
        self, text: str, spots: Iterable[int], plain: Sequence[Span] = (), *, place: Place, raw: bool = False
    ) -> Pieces:
        """The tokens of `text`, a row at `place`, where none may reach over one of `spots` ("x" + "yy" -> "xyy").

        At inference the prompt is tokenised on its own, so it is here as well.
        """
        cuts = sorted({0, len(text), *spots, *itertools.chain.from_iterable(plain)})
        pieces = Pieces()
        for begins, behind in itertools.pairwise(cuts):
            literal = any(start <= begins < end for start, end in plain)
            special = raw and begins == 0
            for lead in self.vocabulary.leads(text[:begins]):
                (encoding,) = self.vocabulary.encode(
                    [lead + text[begins:behind]], special=special, plain=literal
                )
                if not Boundaries(encoding, len(lead) + behind - begins).straddled([len(lead)]):
                    break
            if literal and (commands := self.vocabulary.commands(encoding.ids)):
                raise errors.InvalidRow(
                    f"{place}: a turn contains {commands[0]!r}, which this model's tokenizer reads as one of its special tokens "
                    "even in plain text; write it differently, or remove the row"
                )
            pieces.add(encoding, begins, behind, len(lead))
        return pieces


def _without(length: int, spans: Sequence[Span]) -> tuple[Span, ...]:
    """All of a text of `length` characters but `spans` (in rising order)."""
    edges = [0, *itertools.chain.from_iterable(spans), length]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((start, end) for start, end in pairs if start < end)


def _ended(learned: Sequence[Span], count: int) -> list[Span]:
    """`learned` with the last of `count` tokens, the end of the text."""
    if learned and learned[-1][1] >= count - 1:
        return [*learned[:-1], (learned[-1][0], count)]
    return [*learned, (count - 1, count)]

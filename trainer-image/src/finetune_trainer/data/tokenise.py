"""Examples to token ids and labels. The mask is drawn on characters first, then carried over by the tokenizer's offsets."""

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.families import Span
from finetune_trainer.data.rows import Continuation, Conversation, Example, Feedback, Preference, Text

IGNORED = -100
"""The label of tokens that are not learned (torch's cross_entropy)."""
BATCH = 256
"""Rows given to the tokenizer at once: it spreads them over the CPUs."""


@dataclass(frozen=True, slots=True)
class Marked:
    """Text with the characters that are learned."""

    text: str
    learned: tuple[Span, ...]
    raw: bool
    """Plain text: the tokenizer puts its own beginning before it, and eos goes behind it."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One row as the model trains on it, not yet cut to maxLength."""

    example: Example
    input_ids: list[int]
    labels: list[int]
    """As long as input_ids; `IGNORED` where nothing is learned."""

    @property
    def supervised(self) -> int:
        """Learned tokens. The first token is never predicted, so its label does not count."""
        return len(self.labels[1:]) - self.labels[1:].count(IGNORED)

    def cut(self, max_length: int) -> "Encoded":
        """The first `max_length` tokens."""
        return Encoded(self.example, self.input_ids[:max_length], self.labels[:max_length])


class Tokeniser:
    """One tokenizer, with the renderer of its chat template."""

    def __init__(self, tokenizer: Any, renderer: Renderer) -> None:
        self._tokenizer = tokenizer
        self._renderer = renderer
        self.ends: Counter[int] = Counter()
        """Last learned token of a row -> how many rows."""

    def encode(self, examples: Iterable[Example]) -> Iterator[Encoded]:
        """Each example, in order."""
        remaining = iter(examples)
        while batch := list(itertools.islice(remaining, BATCH)):
            for encoded in self._batch(batch):
                self.ends[_last(encoded.labels)] += 1
                yield encoded

    def _batch(self, examples: Sequence[Example]) -> Iterator[Encoded]:
        marked = [self.mark(example) for example in examples]
        chat = self._ids([one.text for one in marked if not one.raw], special=False)
        plain = self._ids([one.text for one in marked if one.raw], special=True)
        for example, one in zip(examples, marked, strict=True):
            yield self._labelled(example, one, *next(plain if one.raw else chat))

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
                raise NotImplementedError

    def _mark_conversation(self, example: Example, content: Conversation) -> Marked:
        rendered = self._renderer.render(content, example.place)
        turns = [at for at, message in enumerate(content.messages) if message.role == "assistant"]
        spans = list(zip(turns, rendered.spans, strict=True))
        shown = [span for at, span in spans if not content.messages[at].learned]
        if example.loss_on == "All":
            return Marked(rendered.text, _without(len(rendered.text), shown), raw=False)
        learned = [
            span
            for at, span in spans
            if content.messages[at].learned
            and (example.loss_on == "Assistant" or at >= content.completion_from)
        ]
        return Marked(rendered.text, tuple(learned), raw=False)

    def _ids(self, texts: list[str], *, special: bool) -> Iterator[tuple[list[int], list[Span]]]:
        """Token ids of each text, and the characters each token stands for."""
        if not texts:
            return iter(())
        encoding = self._tokenizer(
            texts,
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_attention_mask=False,
            truncation=False,
            padding=False,
            verbose=False,  # no warning for rows longer than the model: they are cut and counted later
        )
        return zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)

    def _labelled(self, example: Example, marked: Marked, ids: list[int], offsets: list[Span]) -> Encoded:
        starts = _starts(offsets)
        if any(_straddles(offsets, starts, start) for start, _ in marked.learned):
            ids, offsets = self._in_pieces(marked)
            starts = _starts(offsets)
        labels = [IGNORED] * len(ids)
        for start, end in marked.learned:
            first, behind = bisect.bisect_left(starts, start), bisect.bisect_left(starts, end)
            labels[first:behind] = ids[first:behind]
        if marked.raw and (not ids or ids[-1] != self._tokenizer.eos_token_id):
            ids, labels = [*ids, self._tokenizer.eos_token_id], [*labels, self._tokenizer.eos_token_id]
        elif marked.raw:
            labels[-1] = ids[-1]
        return Encoded(example, list(ids), labels)

    def _in_pieces(self, marked: Marked) -> tuple[list[int], list[Span]]:
        """Token ids where a token would reach from the prompt into the answer ("x" + "yy" -> "xyy").

        At inference the prompt is tokenised on its own, so it is here as well: cut where learned spans begin.
        """
        cuts = sorted({0, len(marked.text), *(start for start, _ in marked.learned)})
        ids: list[int] = []
        offsets: list[Span] = []
        for begins, ends in itertools.pairwise(cuts):
            more_ids, more_offsets = next(
                self._ids([marked.text[begins:ends]], special=marked.raw and begins == 0)
            )
            ids += more_ids
            # A special token stands for no characters: its (0, 0) must not move into a learned span.
            offsets += [(s + begins, e + begins) if e > s else (0, 0) for s, e in more_offsets]
        return ids, offsets


def _without(length: int, spans: Sequence[Span]) -> tuple[Span, ...]:
    """All of a text of `length` characters but `spans` (in rising order)."""
    edges = [0, *itertools.chain.from_iterable(spans), length]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((start, end) for start, end in pairs if start < end)


def _starts(offsets: Sequence[Span]) -> list[int]:
    """Where each token begins, in rising order: special tokens at the end, which stand for no characters, are left out."""
    count = len(offsets)
    while count and offsets[count - 1][1] == 0:
        count -= 1
    return [begins for begins, _ in offsets[:count]]


def _straddles(offsets: Sequence[Span], starts: Sequence[int], spot: int) -> bool:
    """Whether a token reaches over `spot`."""
    before = bisect.bisect_left(starts, spot) - 1
    return before >= 0 and offsets[before][1] > spot


def _last(labels: Sequence[int]) -> int:
    """The last learned token, `IGNORED` where there is none."""
    return next((label for label in reversed(labels) if label != IGNORED), IGNORED)

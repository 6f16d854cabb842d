"""Tokens of the parts of texts, each asked of the tokenizer once: people say the same words again and again.

Of a row of English a hundred parts and more are words that were there before, and looking one up takes a hundredth of the time
that a tokenizer takes for it. A text of which much is new is given to the tokenizer whole, which is faster than in parts, and its
parts are learned from that.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import tokenizers

from finetune_trainer.data import cuts
from finetune_trainer.data.boundaries import Boundaries, Joined, Tokens

MOST = 65_536
"""Parts that are known at a time: 20 MB. Then all are forgotten: the frequent ones are soon known again."""
LONGEST = 64
"""Characters of a part that is worth knowing: text without spaces does not come again."""
NEW = 3
"""A text is strange where more than one of so many characters is new: alone they take the tokenizer twice as long as in a text."""
AT_ONCE = 32
"""Texts given to the tokenizer at once: those behind profit from what is learned of them."""
BESIDE = 4_096
"""Parts of which is known where their characters stand: those with the end of a turn in them."""


class Lexicon:
    """What one tokenizer makes of parts of texts. For tokenizers of which `cuts.allowed` says that texts have such."""

    def __init__(self, encode: Callable[[Sequence[str]], list[tokenizers.Encoding]]) -> None:
        """`encode`: texts to their tokens, without what a tokenizer may put before and behind each."""
        self._encode = encode
        self._ids: dict[str, tuple[int, ...]] = {}
        self._boundaries = functools.lru_cache(BESIDE)(self._asked)

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text."""
        batches = (texts[begin : begin + AT_ONCE] for begin in range(0, len(texts), AT_ONCE))
        return [found for batch in batches for found in self._tokens(batch)]

    def _tokens(self, texts: Sequence[str]) -> Iterator[Tokens]:
        parted = [cuts.parts(text) for text in texts]
        new = [set(parts).difference(self._ids) for parts in parted]
        strange = [sum(map(len, some)) * NEW > len(text) for some, text in zip(new, texts, strict=True)]
        whole = iter(self._encode(list(itertools.compress(texts, strange))))
        asked = set().union(*(some for some, odd in zip(new, strange, strict=True) if not odd))
        self._ask(asked)
        for text, parts, odd in zip(texts, parted, strange, strict=True):
            if odd:
                found = Boundaries(next(whole), len(text))
                self._learn(parts, found)
                yield found
            else:
                yield Joined(parts, [self._ids[part] for part in parts], self._boundaries)
        self._forget(asked)

    def _ask(self, parts: Iterable[str]) -> None:
        """Know `parts`."""
        texts = list(parts)
        for part, encoding in zip(texts, self._encode(texts), strict=True):
            self._ids[part] = tuple(encoding.ids)

    def _learn(self, parts: Sequence[str], whole: Boundaries) -> None:
        """Know `parts`, whose tokens are found in those of their text."""
        ids, begins = whole.ids, itertools.accumulate(map(len, parts), initial=0)
        for part, begin in zip(parts, begins, strict=False):  # the last of them is the end
            if part not in self._ids and len(part) <= LONGEST:
                self._ids[part] = tuple(ids[whole.first(begin) : whole.first(begin + len(part))])

    def _forget(self, asked: Iterable[str]) -> None:
        """Keep memory bounded."""
        for part in asked:
            if len(part) > LONGEST:
                del self._ids[part]
        if len(self._ids) > MOST:
            self._ids.clear()

    def _asked(self, part: str) -> Boundaries:
        (encoding,) = self._encode([part])
        return Boundaries(encoding, len(part))

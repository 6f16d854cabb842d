"""From characters to tokens: which token is the first that begins at or behind a character.

The tokenizer is asked about single characters: turning the place of every token into Python numbers costs as much as
tokenising does.
"""

import bisect
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import tokenizers

from finetune_trainer.data.families import Span


class Tokens(Protocol):
    """The tokens of one text, however they were found."""

    @property
    def ids(self) -> list[int]:
        """All token ids."""

    def first(self, spot: int) -> int:
        """Index of the first token that begins at character `spot` or behind it; their number where there is none."""

    def straddled(self, spots: Iterable[int]) -> bool:
        """Whether a token reaches over one of `spots`."""


class Boundaries:
    """The tokens of one text. Tokens that stand for no characters at its end (an eos of the tokenizer's own) do not count."""

    def __init__(self, encoding: tokenizers.Encoding, characters: int) -> None:
        """`characters`: length of the text."""
        self._encoding = encoding
        self._characters = characters
        self.count = len(encoding)
        """Tokens up to the end of the text."""
        while self.count and self._span(self.count - 1)[1] == 0:
            self.count -= 1

    @property
    def ids(self) -> list[int]:
        """All token ids."""
        found: list[int] = self._encoding.ids
        return found

    def first(self, spot: int) -> int:
        """Index of the first token that begins at character `spot` or behind it; `count` where there is none."""
        at = self._near(spot)
        while at and self._span(at - 1)[0] >= spot:
            at -= 1
        while at < self.count and self._span(at)[0] < spot:
            at += 1
        return at

    def straddled(self, spots: Iterable[int]) -> bool:
        """Whether a token reaches over one of `spots`."""
        firsts = ((self.first(spot), spot) for spot in spots)
        return any(first > 0 and self._span(first - 1)[1] > spot for first, spot in firsts)

    def _near(self, spot: int) -> int:
        """Any token, a near one if possible: the walk from there is short."""
        if spot >= self._characters:
            return self.count
        found: int | None = self._encoding.char_to_token(spot)
        return 0 if found is None else min(found, self.count)

    def _span(self, token: int) -> Span:
        """The characters of a token; (0, 0) for one that stands for none."""
        found: Span | None = self._encoding.token_to_chars(token)
        return found or (0, 0)


class Joined:
    """The tokens of one text whose parts have the same tokens alone as together (`cuts`): none reaches over a part's end."""

    def __init__(
        self,
        parts: Sequence[str],
        ids: Sequence[Sequence[int]],
        boundaries: Callable[[str], Boundaries],
    ) -> None:
        """`ids`: of each of `parts`; `boundaries`: those of one part, asked for where a spot is inside of it."""
        self.ids = list(itertools.chain.from_iterable(ids))
        """All token ids."""
        self._parts = parts
        self._counts = list(map(len, ids))
        self._boundaries = boundaries

    @functools.cached_property
    def _begins(self) -> list[int]:
        """The first character of each part, and the number of all characters."""
        return list(itertools.accumulate(map(len, self._parts), initial=0))

    def first(self, spot: int) -> int:
        """Index of the first token that begins at character `spot` or behind it; their number where there is none."""
        part, inside = self._part(spot)
        return sum(self._counts[:part]) + (self._boundaries(self._parts[part]).first(inside) if inside else 0)

    def straddled(self, spots: Iterable[int]) -> bool:
        """Whether a token reaches over one of `spots`."""
        places = map(self._part, spots)
        return any(
            inside and self._boundaries(self._parts[part]).straddled([inside]) for part, inside in places
        )

    def _part(self, spot: int) -> tuple[int, int]:
        """The part in which a character stands, and its place there."""
        part = bisect.bisect_right(self._begins, spot) - 1
        return part, spot - self._begins[part]


class Pieces:
    """A text whose parts were tokenised on their own, one behind the other."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        """All token ids."""
        self._parts: list[tuple[Span, int, int, Boundaries]] = []
        """The characters of a part, how many tokens stand before it, how long its lead is, and its own tokens."""

    def add(self, encoding: tokenizers.Encoding, begins: int, behind: int, lead: int = 0) -> None:
        """The next part, from character `begins` to `behind`; its first `lead` characters only led up to it."""
        part = Boundaries(encoding, lead + behind - begins)
        skipped = part.first(lead) if lead else 0
        self._parts.append(((begins, behind), len(self.ids) - skipped, lead, part))
        self.ids += part.ids[skipped : part.count]

    def first(self, spot: int) -> int:
        """Index of the first token that begins at character `spot` or behind it; the number of tokens where there is none."""
        for (begins, behind), before, lead, part in self._parts:
            if spot < behind:
                return before + part.first(spot - begins + lead)
        return len(self.ids)

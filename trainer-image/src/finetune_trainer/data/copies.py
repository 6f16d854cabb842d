"""Which rows are near copies of which, by their signatures (`near`). Runs in the main process, over all rows in their order.

Signatures that agree in a whole band of places are compared (locality-sensitive hashing). Time and memory grow with the number
of rows and not with that of similar pairs: a row is compared with a few rows of each band, and a row that has been found
similar to enough others is not looked up again.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from finetune_trainer.data.near import PLACES, Signatures

RECALL = 0.99
"""Share of pairs exactly as similar as asked that have a band in common."""
NEIGHBOURS = 4
"""Earlier rows of a band that a row is compared with, besides the first: rows that share a band but are not similar enough
(long wordings that are the same in every row) must not lead to comparing all with all."""
ENOUGH = 16
"""Similar rows after which a row is not looked up any more."""
CHUNK = 16_384
"""Pairs compared at once: 10 MB."""
BLOCK = 16
"""Places hashed at once: 32 bytes a row."""

Indexes = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Copies:
    """Which rows are near copies of which. Rows are numbered by their place in `rows` of `copies`."""

    of: Indexes
    """Per row the earlier one that it is a near copy of; -1 where it is none and stays."""
    pairs: Indexes
    """(pairs, 2) rows that are near to each other although both stay: they belong on the same side of a split."""


@dataclass(frozen=True, kw_only=True)
class Signed:
    """Rows in the order in which the first of near copies is kept."""

    signatures: Signatures
    kinds: npt.NDArray[np.uint8]
    """`near.kind_of`, per row of `signatures`."""
    rows: Indexes
    """Rows of `signatures`."""
    examined: int = 0
    """The first so many of them are rows of `dataset.eval`."""
    threshold: float
    """The least similarity (0..1)."""

    @property
    def least(self) -> int:
        """Places in which two signatures must agree."""
        return math.ceil(self.threshold * PLACES - 1e-9)

    def hashed(self, begin: int, end: int) -> Hashes:
        """Per row a hash of the places from `begin` to `end` of its signature."""
        key = np.zeros(len(self.rows), np.uint64)
        for low in range(begin, end, BLOCK):
            for column in np.ascontiguousarray(self.signatures[self.rows, low : min(low + BLOCK, end)].T):
                key = (key ^ column) * ODD
                key ^= key >> np.uint64(29)
        return key

    def similar(self, one: Indexes | int, other: Indexes | int) -> Flags:
        """Whether rows are similar, pair by pair."""
        alike = self.signatures[self.rows[one]] == self.signatures[self.rows[other]]
        return np.asarray(np.count_nonzero(alike, axis=-1) >= self.least)

    def comparable(self, one: int, row: int) -> bool:
        """Whether `row` can be a copy of `one`. What is examined by must not be trained on, whatever kind it is of."""
        same = self.kinds[self.rows[one]] == self.kinds[self.rows[row]]
        return bool(same) or one < self.examined <= row


def copies(signed: Signed) -> Copies:
    """What is a near copy of what: the first stays, and a row goes only where it is near to one that stays."""
    own = np.arange(len(signed.rows), dtype=np.int64)
    kinds = signed.kinds[signed.rows] * np.uint64(2) + (own < signed.examined)
    first = _first_alike(signed.hashed(0, PLACES) + kinds.astype(np.uint64) * ODD)
    shown = np.flatnonzero(first == own)  # of rows with the very same signature one is looked at
    earlier, later = _similar_pairs(signed, shown)
    of = _originals(signed, earlier, later)
    both = (of[earlier] < 0) & (of[later] < 0)
    of = np.where(first == own, of, np.where(of[first] < 0, first, of[first]))
    return Copies(of, np.stack([earlier[both], later[both]], axis=1))


def _originals(signed: Signed, earlier: Indexes, later: Indexes) -> Indexes:
    """Per row the one that stays in its place, -1 for itself. The pairs are sorted by their later row."""
    of = np.full(len(signed.rows), -1, np.int64)
    starts = np.flatnonzero(np.diff(later, prepend=-1))
    for begin, end in zip(starts, np.append(starts, len(later))[1:], strict=True):
        row = int(later[begin])
        of[row] = next(_staying(signed, earlier[begin:end], row, of), -1)
    return of


def _staying(signed: Signed, candidates: Indexes, row: int, of: Indexes) -> Iterator[int]:
    """The rows among `candidates`, or behind them, that stay and that `row` is a copy of."""
    for one in candidates.tolist():
        stays = int(of[one])
        if stays < 0 and signed.comparable(one, row):
            yield one
        elif stays >= 0 and signed.comparable(stays, row) and signed.similar(stays, row):
            yield stays


def bands(threshold: float) -> tuple[int, int]:
    """Bands and their width (places): as wide as they can be while pairs at the threshold still share one."""
    wide = (
        width for width in range(PLACES, 1, -1) if 1 - (1 - threshold**width) ** (PLACES // width) >= RECALL
    )
    width = next(wide, 1)
    return PLACES // width, width


def _similar_pairs(signed: Signed, shown: Indexes) -> tuple[Indexes, Indexes]:
    """Pairs of similar rows among `shown`, earlier and later, each pair once, sorted by the later row and then the earlier one."""
    number, width = bands(signed.threshold)
    shown_only = replace(signed, rows=signed.rows[shown])
    pairs = np.zeros(0, np.int64)
    known = np.zeros(len(shown), np.int16)
    for begin in range(0, number * width, width):
        order, start = _sorted(shown_only.hashed(begin, begin + width))
        found = [pairs]
        for earlier, later in _candidates(order, start, known[order] < ENOUGH):
            alike = shown_only.similar(earlier, later)
            np.add.at(known, later[alike], 1)
            found.append(later[alike] * len(shown) + earlier[alike])
        pairs = _once(np.concatenate(found))
    return shown[pairs % len(shown)], shown[pairs // len(shown)]


def _candidates(order: Indexes, start: Indexes, wanted: Flags) -> Iterator[tuple[Indexes, Indexes]]:
    """Earlier and later rows of the same run: the ones just before, and the first of the run; a bounded number at a time."""
    at = np.arange(len(order))
    for back in range(NEIGHBOURS + 1):
        before = at - back if back else start
        chosen = np.flatnonzero(wanted & (before >= start) & (at - start > (0 if back else NEIGHBOURS)))
        for begin in range(0, len(chosen), CHUNK):
            some = chosen[begin : begin + CHUNK]
            yield order[before[some]], order[some]


def _once(pairs: Indexes) -> Indexes:
    """Sorted, each one once. Not by np.unique, whose hash table takes minutes for some regular patterns (numpy 2.4)."""
    pairs.sort()
    once: Indexes = pairs[np.diff(pairs, prepend=-1) != 0]
    return once


def _sorted(keys: Hashes) -> tuple[Indexes, Indexes]:
    """The rows sorted by key, equal keys in their order; and for each where the run of its key begins."""
    order = np.argsort(keys, kind="stable").astype(np.int64)
    ordered = keys[order]
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    return order, np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))


def _first_alike(keys: Hashes) -> Indexes:
    """Per row the first row with the same key."""
    order, start = _sorted(keys)
    first = np.empty(len(keys), np.int64)
    first[order] = order[start]
    return first

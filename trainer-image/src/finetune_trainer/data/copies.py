"""Which rows are near copies of which, by their signatures (`near`). Runs in the main process, over all rows in their order.

Signatures that agree in a whole band of places are compared (locality-sensitive hashing). Time and memory grow with the number
of rows and not with that of similar pairs: a row is compared with a few rows of each band, and a row that has been found
similar to enough others is not looked up again.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

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
"""Pairs compared at once: 16 MB."""

Indexes = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Copies:
    """Which rows are near copies of which."""

    of: Indexes
    """(rows,) index of the earlier row that this one is a near copy of; -1 where it is none."""
    group: Indexes
    """(rows,) the same number for rows that are near to each other, although each is kept: they belong on one side of a split."""


def copies(signed: Signatures, kinds: npt.NDArray[np.uint8], threshold: float, examined: int = 0) -> Copies:
    """What is a near copy of what, among rows in order. `threshold`: the least similarity (0..1).

    The first of near copies stays, and a row goes only where it is near to one that stays. The first `examined` rows are those of
    `dataset.eval`: a training row that is near to one of them is its copy whatever kind they are of.
    """
    rows = len(signed)
    own = np.arange(rows, dtype=np.int64)
    side = (own < examined).astype(np.uint64)
    first = _first_alike(_hashed(signed) + (kinds * np.uint64(2) + side) * np.uint64(0x9E3779B97F4A7C15))
    shown = np.flatnonzero(first == own)  # of rows with the very same signature one is looked at
    earlier, later = _similar(signed, shown, threshold)
    found = _Found(signed, kinds, threshold, examined)
    of = found.originals(earlier, later)
    group = _groups(of, earlier, later)
    of = np.where(first == own, of, np.where(of[first] < 0, first, of[first]))
    return Copies(of, group[np.where(of < 0, own, of)])


@dataclass(frozen=True)
class _Found:
    """Who is a copy of whom, once it is known which rows are similar."""

    signed: Signatures
    kinds: npt.NDArray[np.uint8]
    threshold: float
    examined: int

    def originals(self, earlier: Indexes, later: Indexes) -> Indexes:
        """Per row the one that stays in its place, -1 for itself. The pairs are sorted by their later row."""
        of = np.full(len(self.signed), -1, np.int64)
        starts = np.flatnonzero(np.diff(later, prepend=-1))
        for begin, end in zip(starts, [*starts[1:], len(later)], strict=True):
            row = int(later[begin])
            of[row] = next(self._staying(earlier[begin:end], row, of), -1)
        return of

    def _staying(self, candidates: Indexes, row: int, of: Indexes) -> Iterator[int]:
        """The rows among `candidates`, or behind them, that stay and that `row` is a copy of."""
        for one in candidates.tolist():
            stays = int(of[one])
            if stays < 0 and self._comparable(one, row):
                yield one
            elif stays >= 0 and self._comparable(stays, row) and self._similar(stays, row):
                yield stays

    def _comparable(self, one: int, row: int) -> bool:
        return bool(self.kinds[one] == self.kinds[row]) or one < self.examined <= row

    def _similar(self, one: int, row: int) -> bool:
        return bool(np.count_nonzero(self.signed[one] == self.signed[row]) >= _least(self.threshold))


def bands(threshold: float) -> tuple[int, int]:
    """Bands and their width (places): as wide as they can be while pairs at the threshold still share one."""
    wide = (
        width for width in range(PLACES, 1, -1) if 1 - (1 - threshold**width) ** (PLACES // width) >= RECALL
    )
    width = next(wide, 1)
    return PLACES // width, width


def _least(threshold: float) -> int:
    """Places in which two signatures must agree."""
    return math.ceil(threshold * PLACES - 1e-9)


def _similar(signed: Signatures, shown: Indexes, threshold: float) -> tuple[Indexes, Indexes]:
    """Pairs of similar rows, earlier and later, each pair once, sorted by the later row and then by the earlier one."""
    number, width = bands(threshold)
    pairs = np.zeros(0, np.int64)
    known = np.zeros(len(signed), np.int16)
    for begin in range(0, number * width, width):
        order, start = _sorted(_hashed(signed, shown, begin, begin + width))
        at = np.arange(len(order))
        fresh = known[shown[order]] < ENOUGH
        found = []
        for back in range(NEIGHBOURS + 1):
            before = at - back if back else start
            near = fresh & (before >= start) & (at - start > (0 if back else NEIGHBOURS))
            earlier, later = shown[order[before[near]]], shown[order[at[near]]]
            found.append(_verified(signed, earlier, later, threshold))
        fresh_pairs = np.concatenate(found)
        np.add.at(known, fresh_pairs // len(signed), 1)
        pairs = np.unique(np.concatenate([pairs, fresh_pairs]))
    return pairs % len(signed), pairs // len(signed)


def _verified(signed: Signatures, earlier: Indexes, later: Indexes, threshold: float) -> Indexes:
    """The pairs that are similar enough, each as one number: later row x rows + earlier row."""
    keep = [np.zeros(0, np.int64)]
    for begin in range(0, len(later), CHUNK):
        one, other = earlier[begin : begin + CHUNK], later[begin : begin + CHUNK]
        alike = np.count_nonzero(signed[one] == signed[other], axis=1) >= _least(threshold)
        keep.append(other[alike] * len(signed) + one[alike])
    return np.concatenate(keep)


def _hashed(signed: Signatures, rows: Indexes | None = None, begin: int = 0, end: int = PLACES) -> Hashes:
    """A hash of the places from `begin` to `end` of each of `rows` (all rows)."""
    taken = np.ascontiguousarray(signed[:, begin:end].T if rows is None else signed[rows, begin:end].T)
    key = np.zeros(taken.shape[1], np.uint64)
    for column in taken:
        key = (key ^ column) * ODD
        key ^= key >> np.uint64(29)
    return key


def _sorted(keys: Hashes) -> tuple[Indexes, Indexes]:
    """The rows sorted by key, equal keys in their order; and for each where the run of its key begins."""
    order = np.argsort(keys, kind="stable").astype(np.int64)
    begins = np.diff(keys[order], prepend=~keys[order[:1]]) != 0
    return order, np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))


def _first_alike(keys: Hashes) -> Indexes:
    """Per row the first row with the same key."""
    order, start = _sorted(keys)
    first = np.empty(len(keys), np.int64)
    first[order] = order[start]
    return first


def _groups(of: Indexes, earlier: Indexes, later: Indexes) -> Indexes:
    """Per row the first of the rows that it is similar to, directly or by way of others, where both stay."""
    group = np.arange(len(of), dtype=np.int64)

    def root(row: int) -> int:
        while group[row] != row:
            group[row] = group[group[row]]
            row = int(group[row])
        return row

    both = (of[earlier] < 0) & (of[later] < 0)
    for one, other in zip(earlier[both].tolist(), later[both].tolist(), strict=True):
        first, second = sorted((root(one), root(other)))
        group[second] = first
    return np.array([root(row) for row in range(len(of))] if both.any() else group, np.int64)

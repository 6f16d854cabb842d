"""Training rows and held-out rows: the same rows on every machine, and no row on both sides."""

import hashlib

import numpy as np
import numpy.typing as npt

from finetune_trainer.data import facts
from finetune_trainer.data.facts import Digests, Flags, Indexes

DEFAULT_FRACTION = 0.05
MOST_BY_DEFAULT = 500
"""Held-out rows where the spec does not say how many: enough to measure, few enough to measure often."""


def apart(words: Digests, fraction: float | None, *, seed: int, together: Indexes | None = None) -> Flags:
    """Which rows are held out, by what they say (`Example.words`).

    A row is held out by a hash of what it says and of the seed: neither its place nor the other rows matter, and rows that say
    the same go to the same side, whatever of it is learned. `together` (rows,): rows of one number go to the same side too; the
    number is the index of one of them, and by its words they are drawn.
    """
    wanted = _wanted(len(words), fraction)
    group = facts.first_alike(words)
    if together is not None:
        group = _merged(group, together)
    groups, sizes = np.unique(group, return_counts=True)
    chosen: list[int] = []
    for at in _ranked(words[groups], seed, wanted):
        if wanted <= 0 or len(chosen) == len(groups) - 1:
            break
        chosen.append(int(groups[at]))
        wanted -= int(sizes[at])
    return np.isin(group, chosen)


def _merged(group: Indexes, together: Indexes) -> Indexes:
    """Groups that hold rows of both: the first row of each, found by going down until nothing changes."""
    merged = np.minimum(group, together)
    while True:
        lowest = merged.copy()
        for one in (group, together):
            least = np.full(len(merged), len(merged), np.int64)
            np.minimum.at(least, one, lowest)
            lowest = least[one]
        if np.array_equal(lowest, merged):
            return merged
        merged = lowest


def drawn(words: Digests, copies: Indexes, weight: float, *, seed: int) -> npt.NDArray[np.int64]:
    """How often each row is seen in an epoch, on average `weight` times.

    Decided by what it says, the seed, and how many rows that say the same stand before it (`copies`).
    """
    whole = int(weight)
    share = weight - whole
    if not share:
        return np.full(len(words), whole, np.int64)
    tosses = [
        int.from_bytes(hashlib.sha256(b"weight" + seed.to_bytes(8) + word.tobytes() + int(copy).to_bytes(8)).digest()[:8])
        for word, copy in zip(words, copies, strict=True)
    ]  # fmt: skip
    return whole + (np.array(tosses, np.uint64).astype(np.float64) / 2**64 < share).astype(np.int64)


def _wanted(rows: int, fraction: float | None) -> int:
    """How many rows to hold out: at least one of two, none of one."""
    if fraction == 0 or rows < 2:  # noqa: PLR2004 - one row cannot be on both sides
        return 0
    if fraction is None:
        return min(max(round(rows * DEFAULT_FRACTION), 1), MOST_BY_DEFAULT)
    return min(max(round(rows * fraction), 1), rows - 1)


def _ranked(words: Digests, seed: int, wanted: int) -> list[int]:
    """Indexes of the `wanted` lowest ranks, the lowest first: more are never needed."""
    salt, raw, ranks = seed.to_bytes(8), words.tobytes(), bytearray()
    for at in range(0, len(raw), 16):
        ranks += hashlib.sha256(salt + raw[at : at + 16]).digest()[:16]
    halves = np.frombuffer(ranks, ">u8").reshape(-1, 2)
    found: list[int] = np.lexsort((halves[:, 1], halves[:, 0]))[:wanted].tolist()
    return found

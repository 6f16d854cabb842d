"""Training rows and held-out rows: the same rows on every machine, and no row on both sides."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from finetune_trainer.data.filters import Drops
from finetune_trainer.data.rows import Example

DEFAULT_FRACTION = 0.05
MOST_BY_DEFAULT = 500
"""Held-out rows where the spec does not say how many: enough to measure, few enough to measure often."""


def held_out(
    examples: Sequence[Example], fraction: float | None, *, seed: int
) -> tuple[list[Example], list[Example]]:
    """Training rows and held-out rows, both in the order they were read.

    A row is held out by a hash of what it says and of the seed: neither its place nor the other rows matter, and rows that say
    the same go to the same side, whatever of it is learned.
    """
    wanted = _wanted(len(examples), fraction)
    keys = [example.words() for example in examples]
    copies = Counter(keys)
    chosen: set[bytes] = set()
    for key in sorted(copies, key=lambda key: _rank(key, seed)):
        if wanted <= 0 or len(chosen) == len(copies) - 1:
            break
        chosen.add(key)
        wanted -= copies[key]
    return (
        [example for example, key in zip(examples, keys, strict=True) if key not in chosen],
        [example for example, key in zip(examples, keys, strict=True) if key in chosen],
    )


def without(examples: Sequence[Example], held: Sequence[Example], drops: Drops) -> list[Example]:
    """`examples` but for those that are held out elsewhere: what is trained on cannot be examined."""
    forbidden = {example.words() for example in held}
    kept = []
    for example in examples:
        if example.words() in forbidden:
            drops.add("InEval", example.place)
        else:
            kept.append(example)
    return kept


def _wanted(rows: int, fraction: float | None) -> int:
    """How many rows to hold out: at least one of two, none of one."""
    if fraction == 0 or rows < 2:  # noqa: PLR2004 - one row cannot be on both sides
        return 0
    if fraction is None:
        return min(max(round(rows * DEFAULT_FRACTION), 1), MOST_BY_DEFAULT)
    return min(max(round(rows * fraction), 1), rows - 1)


def _rank(key: bytes, seed: int) -> bytes:
    return hashlib.sha256(seed.to_bytes(8) + key).digest()

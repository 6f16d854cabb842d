"""What is known of each row once it has been read: a few numbers in arrays, so that millions of rows fit in memory.

About 100 bytes a row; the words and the tokens themselves lie in the spool on disk (`spool`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from finetune_trainer.data import traits
from finetune_trainer.data.rows import Place

Digests = npt.NDArray[np.uint64]
"""(rows, 2): 16 bytes a row, in two halves."""
Indexes = npt.NDArray[np.int64]
"""(n,) numbers of rows, counted from 0 over all sources in their order: those of `dataset.train`, then those of `dataset.eval`."""
Signatures = npt.NDArray[np.uint16]
"""(rows, numbers of a signature)"""
Flags = npt.NDArray[np.bool_]
"""(rows,)"""

FITS = 0
"""The code of no reason: the row may stay."""
KINDS = ("Conversation", "Continuation", "Text")
"""How a row becomes text; the index is its code."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A data file, as places name it."""

    name: str
    unit: Literal["line", "row"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Rows in the order they were read. One array each, indexed by row."""

    key: Digests
    """`Example.key`."""
    words: Digests
    """`Example.words`."""
    source: npt.NDArray[np.int16]
    """Number of the source, those of `dataset.eval` counted on from those of `dataset.train`."""
    file: npt.NDArray[np.int32]
    """Index in `files`."""
    number: npt.NDArray[np.int64]
    """Line or row in that file, from 1."""
    reason: npt.NDArray[np.int16]
    """Index in `reasons`: why the row is left out for what it says itself, `FITS` where it is not."""
    kind: npt.NDArray[np.int8]
    """Index in `KINDS`."""
    tokens: npt.NDArray[np.int32]
    """Tokens that the model sees of it: of a pair both sequences. 0 where the row is left out."""
    longest: npt.NDArray[np.int32]
    """Tokens of its longest sequence."""
    whole: npt.NDArray[np.int32]
    """Tokens of its longest sequence before the cut; 0 for rows that were never tokenised."""
    supervised: npt.NDArray[np.int32]
    """Learned tokens."""
    largest: npt.NDArray[np.int32]
    """The largest token id."""
    end: npt.NDArray[np.int32]
    """The last learned token, before the row was cut."""
    cut: Flags
    """Whether it was cut to maxLength, those that nothing learned is left of included."""
    endless: Flags
    """Whether the chat template leaves its last answer open."""
    quoting: Flags
    """Whether somebody writes special tokens of the tokenizer as words."""
    near: Signatures
    """(rows, near.PLACES); (rows, 0) where near copies are not looked for."""
    near_kind: npt.NDArray[np.uint8]
    """`near.kind_of`."""
    traits: npt.NDArray[np.void]
    """What advice looks at (`traits.DTYPE`)."""
    reasons: tuple[str, ...]
    """By code; the first is that of rows that may stay."""
    files: tuple[File, ...]

    def __len__(self) -> int:
        return len(self.source)

    def place(self, row: int) -> Place:
        """Where a row stands."""
        file = self.files[self.file[row]]
        return Place(file.name, int(self.number[row]), file.unit)


ARRAYS = tuple(name for name in Facts.__dataclass_fields__ if name not in {"reasons", "files"})


GROWTH = 1.25
"""Times as many rows as before are made room for; little, because the room is memory too."""


class Growing:
    """Facts that more and more rows are put behind, without ever holding them twice."""

    def __init__(self) -> None:
        self._count = 0
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._codes = {"": FITS}

    def add(self, part: Facts) -> None:
        """The next rows. `file` counts in the files that are named at the end."""
        if not self._columns:
            self._columns = {name: np.zeros_like(getattr(part, name)) for name in ARRAYS}
        end = self._count + len(part)
        if end > len(self._columns["source"]):
            self._make_room(int(end * GROWTH))
        codes = [self._codes.setdefault(name, len(self._codes)) for name in part.reasons]
        for name, column in self._columns.items():
            column[self._count : end] = getattr(part, name)
        self._columns["reason"][self._count : end] = np.array(codes, np.int16)[part.reason]
        self._count = end

    def whole(self, files: tuple[File, ...]) -> Facts:
        """All rows; nothing can be added any more."""
        if not self._columns:
            return nothing(files)
        self._make_room(self._count)
        return Facts(**self._columns, reasons=tuple(self._codes), files=files)

    def _make_room(self, rows: int) -> None:
        for column in self._columns.values():
            column.resize(
                (rows, *column.shape[1:]), refcheck=False
            )  # in place: the system moves pages, not bytes


def joined(parts: Sequence[Facts], files: tuple[File, ...]) -> Facts:
    """The rows of all `parts`, one behind the other. Their own `files` are ignored: `file` counts in these."""
    growing = Growing()
    for part in parts:
        growing.add(part)
    return growing.whole(files)


def nothing(files: tuple[File, ...] = ()) -> Facts:
    """No rows."""
    shapes = {"key": (0, 2), "words": (0, 2), "near": (0, 0)}
    kinds: dict[str, Any] = {
        "key": np.uint64, "words": np.uint64, "source": np.int16, "number": np.int64, "reason": np.int16, "kind": np.int8,
        "cut": np.bool_, "endless": np.bool_, "quoting": np.bool_, "near": np.uint16, "near_kind": np.uint8,
        "traits": traits.DTYPE,
    }  # fmt: skip
    columns: dict[str, Any] = {
        name: np.zeros(shapes.get(name, (0,)), kinds.get(name, np.int32)) for name in ARRAYS
    }
    return Facts(**columns, reasons=("",), files=files)


def digests(made: Sequence[bytes]) -> Digests:
    """16 bytes each, as an array."""
    return np.frombuffer(b"".join(made), np.uint64).reshape(-1, 2)


def first_alike(found: Digests) -> Indexes:
    """(rows,) the index of the first row with the same digest: its own where there is none before it."""
    order = np.lexsort((found[:, 1], found[:, 0]))  # stable: equal rows keep their order
    ordered = found[order]
    begins = np.ones(len(found), np.bool_)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(found), np.int64)
    first[order] = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
    return first

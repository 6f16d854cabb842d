"""Which rows are trained on, which are held out, and which are left out for what other rows say. Pure: facts in, indexes out.

Runs in the main process, over all rows at once. The order of the checks, the first that applies is told:

1. what the row says itself (`filters.Judge`): told by the worker that read it
2. a copy of an earlier row of the same part (train or eval)
3. a training row that says what a row of `dataset.eval` says
4. what its tokens say: too short, too long, nothing learned
5. a near copy of an earlier row, or of one of `dataset.eval`, where near copies are looked for

Neither the number of workers nor the size of chunks reaches this module: it sees the rows in the order they were read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from finetune_trainer import config
from finetune_trainer.data import copies, split
from finetune_trainer.data import facts as arrays
from finetune_trainer.data.facts import FITS, Digests, Facts, Flags, Indexes
from finetune_trainer.data.filters import MAX_PLACES, Drops

OF_TOKENS = ("TooShort", "TooManyTokens", "NothingLearned", "TooLong")
"""Reasons that come last: they are known of rows that the checks before would leave out too."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the spec says about it."""

    quality: config.Quality
    weights: tuple[float, ...]
    """Of each source of `dataset.train`: how often each of its rows is seen in an epoch."""
    eval_fraction: float | None
    seed: int

    @classmethod
    def of(cls, run: config.Run) -> "Rules":
        """Those of a run."""
        return cls(
            quality=run.dataset.quality,
            weights=tuple(source.weight or 1.0 for source in run.dataset.train),
            eval_fraction=run.dataset.eval_fraction,
            seed=run.training.seed,
        )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Where each row goes."""

    train: Indexes
    """Rows to train on, in order; one that is seen more than once stands there as often, side by side."""
    held: Indexes
    """Rows to examine by, in order."""
    drops: Drops


@dataclass
class _Rows:
    """Rows, and what has been decided about them so far."""

    facts: Facts
    fate: dict[str, Indexes] = field(default_factory=dict)
    """Reason -> rows."""
    staying: Flags = field(init=False)
    original: Indexes = field(init=False)
    """(rows,) the row that this one is a copy of, -1 where it is none."""

    def __post_init__(self) -> None:
        self.staying = np.ones(len(self.facts), np.bool_)
        self.original = np.full(len(self.facts), -1, np.int64)

    def leave_out(self, reason: str, rows: Indexes, copies_of: Indexes | None = None) -> None:
        """`rows` are left out, unless they are already; `copies_of`: because of these rows, one for each."""
        fresh = rows[self.staying[rows]]
        if copies_of is not None:
            self.original[fresh] = copies_of[self.staying[rows]]
        if len(fresh):
            self.fate[reason] = np.union1d(self.fate.get(reason, fresh), fresh)
            self.staying[fresh] = False

    @property
    def drops(self) -> Drops:
        """The report: by reason, the first places in the order of reading."""
        made = Drops()
        for reason, rows in self.fate.items():
            for row in rows[:MAX_PLACES].tolist():
                made.add(reason, self.facts.place(row), self._note(reason, row))
            made.rows[reason] = len(rows)
        return made

    def _note(self, reason: str, row: int) -> str:
        """What else to say about a row."""
        original = int(self.original[row])
        like = "near to" if reason in {"NearDuplicate", "NearEval"} else "a copy of"
        return f"{like} {self.facts.place(original)}" if original >= 0 else ""


def decide(facts: Facts, rules: Rules) -> Decision:
    """Where each row goes."""
    rows = _Rows(facts)
    training = facts.source < len(rules.weights)
    for reason, found in _told(facts, of_tokens=False):
        rows.leave_out(reason, found)
    if rules.quality.duplicates.exact:
        for part in (training, ~training):
            rows.leave_out("ExactDuplicate", *_copies(facts, np.flatnonzero(part & rows.staying)))
    rows.leave_out("InEval", *_examined(facts, training & rows.staying, ~training & rows.staying))
    for reason, found in _told(facts, of_tokens=True):
        rows.leave_out(reason, found)
    near = rules.quality.duplicates.near
    together = None if near is None else _leave_near_copies_out(rows, training, near)
    train, held = np.flatnonzero(training & rows.staying), np.flatnonzero(~training & rows.staying)
    if training.all():
        beside = None if together is None else np.searchsorted(train, together[train])
        apart = split.apart(facts.words[train], rules.eval_fraction, seed=rules.seed, together=beside)
        train, held = train[~apart], train[apart]
    seen = _weighed(facts, train, rules)
    rows.leave_out("NotDrawn", train[seen == 0])
    return Decision(train=np.repeat(train, seen), held=held, drops=rows.drops)


def _told(facts: Facts, *, of_tokens: bool) -> Iterator[tuple[str, Indexes]]:
    """Rows that are left out for what they say themselves, by reason."""
    for code, reason in enumerate(facts.reasons):
        if code != FITS and (reason in OF_TOKENS) == of_tokens:
            yield reason, np.flatnonzero(facts.reason == code)


def _copies(facts: Facts, rows: Indexes) -> tuple[Indexes, Indexes]:
    """Those of `rows` that say and learn the same as an earlier one, and which."""
    first = arrays.first_alike(facts.key[rows])
    copied = np.flatnonzero(first != np.arange(len(rows)))
    return rows[copied], rows[first[copied]]


def _examined(facts: Facts, train: Flags, held: Flags) -> tuple[Indexes, Indexes]:
    """Training rows that say what a row of `dataset.eval` says, and which."""
    order = np.concatenate([np.flatnonzero(held), np.flatnonzero(train)])
    first = arrays.first_alike(facts.words[order])
    said = np.flatnonzero((first < held.sum()) & (np.arange(len(order)) >= held.sum()))
    return order[said], order[first[said]]


def _leave_near_copies_out(rows: _Rows, training: Flags, threshold: float) -> Indexes:
    """Near copies go. (rows,) the first of the rows that are near to each one although both stay: itself where there is none."""
    held, train = np.flatnonzero(~training & rows.staying), np.flatnonzero(training & rows.staying)
    order = np.concatenate(
        [held, train]
    )  # a training row is a copy of one to examine by, never the other way round
    signed = copies.Signed(
        signatures=rows.facts.near,
        kinds=rows.facts.near_kind,
        rows=order,
        examined=len(held),
        threshold=threshold,
    )
    found = copies.copies(signed)
    gone = np.flatnonzero(found.of >= 0)
    leaked = (gone >= len(held)) & (found.of[gone] < len(held))
    for reason, some in (("NearDuplicate", gone[~leaked]), ("NearEval", gone[leaked])):
        rows.leave_out(reason, order[some], order[found.of[some]])
    return _joined(order[found.pairs], len(rows.facts))


def _joined(pairs: Indexes, count: int) -> Indexes:
    """(count,) per row the lowest of the rows that it is paired with, directly or by way of others."""
    lowest = np.arange(count, dtype=np.int64)

    def root(row: int) -> int:
        while lowest[row] != row:
            row = lowest[row] = lowest[lowest[row]]
        return int(row)

    for one, other in pairs.tolist():
        first, second = sorted((root(one), root(other)))
        lowest[second] = first
    for row in np.unique(pairs).tolist():
        lowest[row] = root(row)
    return lowest


def _weighed(facts: Facts, train: Indexes, rules: Rules) -> Indexes:
    """How often each row of `train` is seen in an epoch."""
    seen = np.ones(len(train), np.int64)
    if set(rules.weights) == {1.0}:
        return seen
    for source, weight in enumerate(rules.weights):
        mine = facts.source[train] == source
        words = facts.words[train[mine]]
        seen[mine] = split.drawn(words, _before(words), weight, seed=rules.seed)
    return seen


def _before(words: Digests) -> Indexes:
    """(rows,) how many rows that say the same stand before each."""
    first = arrays.first_alike(words)
    order = np.argsort(first, kind="stable")
    _, starts, sizes = np.unique(first[order], return_index=True, return_counts=True)
    before = np.empty(len(words), np.int64)
    before[order] = np.arange(len(words)) - np.repeat(starts, sizes)
    return before

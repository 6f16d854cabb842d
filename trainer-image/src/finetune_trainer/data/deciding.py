"""Which rows are trained on, which are held out, and which are left out for what other rows say. Pure: facts in, indexes out.

Runs in the main process, over all rows at once. The order of the checks, the first that applies is told:

1. what the row says itself (`filters.Judge`): told by the worker that read it
2. a copy of an earlier row of the same part (train or eval)
3. a training row that says what a row of `dataset.eval` says
4. what its tokens say: too short, too long, nothing learned

Neither the number of workers nor the size of chunks reaches this module: it sees the rows in the order they were read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from finetune_trainer import config
from finetune_trainer.data import facts as arrays
from finetune_trainer.data import split
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
    notes: dict[int, str] = field(default_factory=dict)
    """Row -> what else to say about it."""
    staying: Flags = field(init=False)

    def __post_init__(self) -> None:
        self.staying = np.ones(len(self.facts), np.bool_)

    def leave_out(self, reason: str, rows: Indexes) -> None:
        """`rows` are left out, unless they are already."""
        fresh = rows[self.staying[rows]]
        if len(fresh):
            self.fate[reason] = np.union1d(self.fate.get(reason, fresh), fresh)
            self.staying[fresh] = False

    @property
    def drops(self) -> Drops:
        """The report: by reason, the first places in the order of reading."""
        made = Drops()
        for reason, rows in self.fate.items():
            for row in rows[:MAX_PLACES].tolist():
                made.add(reason, self.facts.place(row), self.notes.get(row, ""))
            made.rows[reason] = len(rows)
        return made


def decide(facts: Facts, rules: Rules) -> Decision:
    """Where each row goes."""
    rows = _Rows(facts)
    training = facts.source < len(rules.weights)
    for reason, found in _told(facts, of_tokens=False):
        rows.leave_out(reason, found)
    if rules.quality.duplicates.exact:
        for part in (training, ~training):
            rows.leave_out("ExactDuplicate", _copies(facts, np.flatnonzero(part & rows.staying)))
    rows.leave_out("InEval", _examined(facts, training & rows.staying, ~training & rows.staying))
    for reason, found in _told(facts, of_tokens=True):
        rows.leave_out(reason, found)
    train, held = np.flatnonzero(training & rows.staying), np.flatnonzero(~training & rows.staying)
    if training.all():
        apart = split.apart(facts.words[train], rules.eval_fraction, seed=rules.seed)
        train, held = train[~apart], train[apart]
    seen = _weighed(facts, train, rules)
    rows.leave_out("NotDrawn", train[seen == 0])
    return Decision(train=np.repeat(train, seen), held=held, drops=rows.drops)


def _told(facts: Facts, *, of_tokens: bool) -> Iterator[tuple[str, Indexes]]:
    """Rows that are left out for what they say themselves, by reason."""
    for code, reason in enumerate(facts.reasons):
        if code != FITS and (reason in OF_TOKENS) == of_tokens:
            yield reason, np.flatnonzero(facts.reason == code)


def _copies(facts: Facts, rows: Indexes) -> Indexes:
    """Those of `rows` that say and learn the same as an earlier one."""
    copied: Flags = arrays.first_alike(facts.key[rows]) != np.arange(len(rows))
    return rows[copied]


def _examined(facts: Facts, train: Flags, held: Flags) -> Indexes:
    """Training rows that say what a row of `dataset.eval` says."""
    rows = np.flatnonzero(train)
    said: Flags = split.among(facts.words[rows], facts.words[held])
    return rows[said]


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

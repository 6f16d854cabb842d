"""What is done to a chunk of rows, all that one row alone allows: parse, understand, judge, render, mask, tokenise, cut.

Pure but for the chunk's bytes: the same chunk gives the same facts and tokens in every process. See docs/decisions/0008.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from finetune_trainer import config, errors
from finetune_trainer.data import facts as arrays
from finetune_trainer.data import near, pairs, table, traits
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.chunks import Chunk
from finetune_trainer.data.facts import FITS, KINDS, Facts
from finetune_trainer.data.filters import Judge
from finetune_trainer.data.meaning import Meaning
from finetune_trainer.data.rows import Content, Example, Feedback, Preference
from finetune_trainer.data.table import Tokenised
from finetune_trainer.data.tokenise import IGNORED, Tokeniser
from finetune_trainer.data.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a process needs to read rows; it can be pickled."""

    meanings: tuple[Meaning, ...]
    """Of each source, those of `dataset.eval` behind those of `dataset.train`."""
    quality: config.Quality
    vocabulary: Vocabulary
    renderer: Renderer
    method: str
    max_length: int
    """Tokens."""


@dataclass(kw_only=True)
class _Read:
    """One row on its way."""

    example: Example
    reason: str
    """Why it is left out; empty where it is not."""
    whole: Tokenised | None = None
    """As it is, before the cut."""
    short: Tokenised | None = None
    """Cut to maxLength; None where the row is left out."""


class Reader:
    """Reads chunks. One per process."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._judge = Judge(recipe.quality)
        self._tokeniser = Tokeniser(recipe.vocabulary, recipe.renderer)

    def __call__(self, chunk: Chunk) -> tuple[Facts, pa.RecordBatch]:
        """The facts of the chunk's rows, and the tokens of those that may stay. Raises what the first bad row deserves."""
        meaning = self._recipe.meanings[chunk.source]
        rows: list[_Read] = []
        failure: errors.TrainerError | None = None
        try:
            for row in chunk.rows():
                example = meaning.example(row)
                rows.append(_Read(example=example, reason=self._judge(example) or ""))
        except errors.Interrupted:
            raise
        except errors.TrainerError as error:
            failure = error
        self._tokenise([row for row in rows if not row.reason])
        if failure:  # told only now: the template may refuse a row that stands before this one
            raise failure
        return self._facts(chunk, rows), table.batch(
            [row.short for row in rows if row.short], self._recipe.method
        )

    def _tokenise(self, rows: Sequence[_Read]) -> None:
        """Fill in the tokens of rows that were not left out for their words."""
        examples = [row.example for row in rows]
        encoded: Iterator[Tokenised] = (
            self._tokeniser.encode(examples)
            if self._recipe.method == "SFT"
            else pairs.encode(self._tokeniser, examples)
        )
        for row, whole in zip(rows, encoded, strict=True):
            row.whole, short = whole, whole.cut(self._recipe.max_length)
            row.reason = _useless(whole, short, self._recipe.quality) or ""
            row.short = None if row.reason else short

    def _facts(self, chunk: Chunk, rows: Sequence[_Read]) -> Facts:
        """What is kept of the rows in memory."""
        reasons = {"": FITS}
        for row in rows:
            reasons.setdefault(row.reason, len(reasons))
        numbers = [_numbers(row) for row in rows]
        tokens, longest, supervised, largest, end = np.array(numbers, np.int32).reshape(-1, 5).T
        examples = [row.example for row in rows]
        return Facts(
            key=arrays.digests([example.key() for example in examples]),
            words=arrays.digests([example.words() for example in examples]),
            source=np.full(len(rows), chunk.source, np.int16),
            file=np.full(len(rows), chunk.file, np.int32),
            number=np.array([example.place.number for example in examples], np.int64),
            reason=np.array([reasons[row.reason] for row in rows], np.int16),
            kind=np.array([_kind(example.content) for example in examples], np.int8),
            tokens=tokens,
            longest=longest,
            whole=np.array([row.whole.longest if row.whole else 0 for row in rows], np.int32),
            supervised=supervised,
            largest=largest,
            end=end,
            cut=np.array(
                [bool(row.whole and row.whole.longest > self._recipe.max_length) for row in rows], np.bool_
            ),
            endless=np.array([bool(row.whole and row.whole.endless) for row in rows], np.bool_),
            quoting=np.array([bool(row.whole and row.whole.quoting) for row in rows], np.bool_),
            near=self._signed(rows),
            near_kind=np.array([near.kind_of(example) for example in examples], np.uint8),
            traits=traits.of(examples),
            reasons=tuple(reasons),
            files=(),
        )

    def _signed(self, rows: Sequence[_Read]) -> arrays.Signatures:
        """What near copies are found by, where they are looked for."""
        if self._recipe.quality.duplicates.near is None:
            return np.zeros((len(rows), 0), np.uint16)
        return near.signatures([near.text_of(row.example) for row in rows])


def _useless(row: Tokenised, short: Tokenised, quality: config.Quality) -> str | None:
    """Why a row is left out once its tokens are known."""
    if quality.min_tokens is not None and row.longest < quality.min_tokens:
        return "TooShort"
    if quality.max_tokens is not None and row.longest > quality.max_tokens:
        return "TooManyTokens"
    if not row.supervised:
        return "NothingLearned"
    return None if short.supervised else "TooLong"


def _numbers(row: _Read) -> tuple[int, int, int, int, int]:
    """Tokens, those of the longest sequence, learned ones, the largest, the last learned one (before the cut)."""
    if row.short is None or row.whole is None:
        return 0, 0, 0, 0, IGNORED
    largest = max(max(ids, default=0) for ids in row.short.ids)
    return row.short.tokens, row.short.longest, row.short.supervised, largest, row.whole.end


def _kind(content: Content) -> int:
    match content:
        case Preference(shown) | Feedback(shown):
            return KINDS.index(type(shown).__name__)
        case _:
            return KINDS.index(type(content).__name__)

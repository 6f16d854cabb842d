"""Rows as the workers of Prepare tell of them: examples in, arrays out, without a tokenizer."""

from collections.abc import Mapping, Sequence

import numpy as np

from finetune_trainer.data import facts, near, traits
from finetune_trainer.data.facts import KINDS, Facts, File
from finetune_trainer.data.rows import Conversation, Example, Feedback, Message, Place, Preference, Text


def example(
    asked: str,
    answered: str,
    *,
    loss: str = "Assistant",
    rejected: str | None = None,
    liked: bool | None = None,
) -> Example:
    """One question and its answer; a pair with `rejected`, unpaired preference with `liked`."""
    content = talk(asked, answered)
    if rejected is not None:
        return Example(Place("ignored", 1), Preference(content, talk(asked, rejected)), "Completion")
    if liked is not None:
        return Example(Place("ignored", 1), Feedback(content, liked), "Completion")
    return Example(Place("ignored", 1), content, loss)


def text(words: str) -> Example:
    """Plain text."""
    return Example(Place("ignored", 1), Text(words), "All")


def talk(asked: str, answered: str) -> Conversation:
    """A question and its answer."""
    return Conversation((Message("user", asked), Message("assistant", answered)), 1)


def facts_of(
    train: Sequence[Example],
    held: Sequence[Example] = (),
    *,
    reasons: Mapping[int, str] | None = None,
    tokens: Sequence[int] | None = None,
    max_length: int = 1024,
    quoting: Sequence[int] = (),
) -> Facts:
    """Rows of train.jsonl and eval.jsonl.

    `reasons`: by row, why one is left out; `tokens`: before the cut (100 each); `quoting`: rows with special tokens.
    """
    every = [*train, *held]
    names = ("", *sorted(set((reasons or {}).values())))
    whole = np.array(tokens or [100] * len(every), np.int32)
    short = np.minimum(whole, max_length)
    one = np.ones(len(every), np.int32)
    return Facts(
        key=facts.digests([row.key() for row in every]),
        words=facts.digests([row.words() for row in every]),
        source=np.array([0] * len(train) + [1] * len(held), np.int16),
        file=np.array([0] * len(train) + [1] * len(held), np.int32),
        number=np.array([*range(1, len(train) + 1), *range(1, len(held) + 1)], np.int64),
        reason=np.array([names.index((reasons or {}).get(at, "")) for at in range(len(every))], np.int16),
        kind=np.array(
            [KINDS.index(Text.__name__) if isinstance(row.content, Text) else 0 for row in every], np.int8
        ),
        tokens=short,
        longest=short,
        whole=whole,
        supervised=np.maximum(short // 2, 1).astype(np.int32),
        largest=one,
        end=one,
        cut=whole > max_length,
        endless=np.zeros(len(every), np.bool_),
        quoting=np.isin(np.arange(len(every)), quoting),
        near=near.signatures([near.text_of(row) for row in every]),
        near_kind=np.array([near.kind_of(row) for row in every], np.uint8),
        traits=traits.of(every),
        reasons=names,
        files=(File(name="train.jsonl", unit="line"), File(name="eval.jsonl", unit="line")),
    )

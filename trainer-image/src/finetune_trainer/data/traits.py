"""What advice looks at in each row: a few numbers, made in the worker that reads it (30 bytes a row)."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from finetune_trainer.data import parts
from finetune_trainer.data.rows import Example, Feedback, Preference, Text

DTYPE = np.dtype(
    [
        ("prompt", "u8"),  # a hash of what is asked, turn by turn; 0: nothing is asked
        ("answer", "u8"),  # a hash of what is answered
        ("asked", "u4"),  # characters before the answer
        ("answered", "u4"),  # characters of the answer; of a pair the better one's
        ("rejected", "u4"),  # characters of the worse one
        ("echo", "?"),  # the answer is the last turn before it, word for word
        ("liked", "i1"),  # 1 and 0: what unpaired preference says of the answer; -1: nothing
    ]
)
Traits = npt.NDArray[np.void]
"""(rows,) of `DTYPE`"""


def of(examples: Sequence[Example]) -> Traits:
    """The traits of each of `examples`."""
    return np.array([_of(example) for example in examples], DTYPE)


def _of(example: Example) -> tuple[int, int, int, int, int, bool, int]:
    content = example.content
    if isinstance(content, Text):
        return 0, _hash([content.text]), 0, len(content.text), 0, False, -1
    one = parts.answered(content)
    asked = [parts.words_of(turn) for turn in parts.prompt_turns(one)]
    answer = [parts.words_of(turn) for turn in parts.answer_turns(one)]
    rejected = parts.answer_turns(content.rejected) if isinstance(content, Preference) else ()
    return (
        _hash(asked),
        _hash(answer),
        _length(asked),
        _length(answer),
        _length(map(parts.words_of, rejected)),
        len(answer) == 1 and bool(asked) and asked[-1].strip() == answer[0].strip(),
        int(content.desirable) if isinstance(content, Feedback) else -1,
    )


def _length(texts: Iterable[str]) -> int:
    return sum(map(len, texts))


def _hash(texts: Sequence[str]) -> int:
    said = "\x1f".join([text.strip() for text in texts]).casefold()
    return int.from_bytes(hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest())

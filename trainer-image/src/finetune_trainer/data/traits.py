"""What advice looks at in each row: a few numbers, made in the worker that reads it (40 bytes a row)."""

import hashlib
import re
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
        ("worse", "u8"),  # of a pair a hash of the worse answer
        ("broken", "?"),  # letters were read in the wrong encoding
        ("refuses", "?"),  # the answer begins as refusals of other models do
        ("liked", "i1"),  # 1 and 0: what unpaired preference says of the answer; -1: nothing
    ]
)
TORN = re.compile("Ã[\x80-\xbf]")
"""One letter of two bytes in UTF-8, read as two letters."""
BEGINNING = 48
"""Characters in which an answer says that it is a refusal."""
OF_AI = ("as an ai ", "as an ai,", "as an ai-")
REFUSALS = (
    *OF_AI,
    "as a language model",
    "as a large language model",
    "i'm unable",
    "i am unable",
    *(f"{sorry}{cannot}" for sorry in ("", "i'm sorry, but ", "i am sorry, but ", "sorry, but ") for cannot in (
        "i cannot assist", "i can't assist", "i cannot help", "i can't help", "i cannot fulfill", "i can't fulfill",
        "i cannot provide", "i can't provide", *OF_AI,
    )),
)  # fmt: skip
"""How other models begin where they refuse, in lower case."""
INITIALS = frozenset("AIS") | frozenset("ais")
"""Their first letters: most answers are seen to be none by that."""
Traits = npt.NDArray[np.void]
"""(rows,) of `DTYPE`"""


def of(examples: Sequence[Example]) -> Traits:
    """The traits of each of `examples`."""
    return np.array([_of(example) for example in examples], DTYPE)


def _of(example: Example) -> tuple[int, int, int, int, int, bool, int, bool, bool, int]:
    content = example.content
    if isinstance(content, Text):
        said = content.text
        return 0, _hash([said]), 0, len(said), 0, False, 0, _broken(said), False, -1
    one = parts.answered(content)
    asked = [parts.words_of(turn) for turn in parts.prompt_turns(one)]
    answer = [parts.words_of(turn) for turn in parts.answer_turns(one)]
    worse = parts.answer_turns(content.rejected) if isinstance(content, Preference) else ()
    rejected = [parts.words_of(turn) for turn in worse]
    liked = int(content.desirable) if isinstance(content, Feedback) else -1
    return (
        _hash(asked),
        _hash(answer),
        _length(asked),
        _length(answer),
        _length(rejected),
        len(answer) == 1 and bool(asked) and asked[-1].strip() == answer[0].strip(),
        _hash(rejected) if rejected else 0,
        any(map(_broken, (*asked, *answer, *rejected))),
        bool(liked and answer) and _refuses(answer[0]),
        liked,
    )


def _broken(text: str) -> bool:
    """Whether letters were replaced, or UTF-8 was read as Latin-1 or as Windows has it. Of ASCII that is known without a look."""
    return not text.isascii() and (
        "\ufffd" in text or "â€" in text or "â\x80" in text or ("Ã" in text and bool(TORN.search(text)))
    )


def _refuses(answer: str) -> bool:
    """Whether an answer begins as refusals do."""
    begins = answer[:BEGINNING].lstrip()
    return begins[:1] in INITIALS and begins.replace("\u2019", "'").casefold().startswith(REFUSALS)


def _length(texts: Iterable[str]) -> int:
    return sum(map(len, texts))


def _hash(texts: Sequence[str]) -> int:
    said = "\x1f".join([text.strip() for text in texts]).casefold()
    return int.from_bytes(hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest())

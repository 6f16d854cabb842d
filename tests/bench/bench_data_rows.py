"""Short chat rows of about 1 KB, made on the spot: sentences of the standard library's documentation, drawn by a seed.

No two rows are the same, none is long, so that nothing is dropped or cut: two preparations can be compared token by token.
Sentences with a `<` are left out: where somebody says `<filename>`, which is a control token of SmolLM2, TRL makes it one, and
we make it text.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import docstrings

ASKED = range(150, 400)
"""Characters of a question..."""
ANSWERED = range(300, 700)
"""...and of an answer, at least."""
SHORTEST = 20
"""Characters of a sentence."""


def sentences() -> list[str]:
    """Real sentences."""
    rows = [row for part in docstrings.rows() for row in part]
    parts = (part.strip() for row in rows for part in row["document"].split("."))
    return sorted({f"{part}." for part in parts if len(part) >= SHORTEST and "<" not in part})


def write(path: Path, count: int, *, seed: int = 0, answered: Sequence[int] = ANSWERED) -> int:
    """Write `count` rows of `messages` as JSONL, answers as long as `answered` says (characters, at least); the bytes written."""
    drawn, known = random.Random(seed), sentences()

    def text(lengths: Sequence[int]) -> str:
        found, wanted = "", drawn.choice(lengths)
        while len(found) < wanted:
            found += drawn.choice(known) + " "
        return found.rstrip()

    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            turns = [
                {"role": "user", "content": f"{number}. {text(ASKED)}"},
                {"role": "assistant", "content": text(answered)},
            ]
            file.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
    return path.stat().st_size

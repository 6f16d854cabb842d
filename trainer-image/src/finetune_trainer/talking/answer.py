"""What is asked of a model, and what it says. No torch: whoever serves or shows needs none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Side = Literal["base", "tuned"]
SIDES: tuple[Side, ...] = ("base", "tuned")
Message = dict[str, str]
Hear = Callable[[str], object]
"""Is told each piece of an answer as it comes."""


@dataclass(frozen=True)
class Manner:
    """How an answer is made."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Answer:
    """What was said, and what it took."""

    text: str
    prompt_tokens: int
    tokens: int
    ended: bool
    """By itself, and not for its length."""


Answers = Callable[[Sequence[Message], Side, Manner, Hear], Answer]
"""A model that answers."""

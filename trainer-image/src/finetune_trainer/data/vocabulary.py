"""A tokenizer alone, without the library around it: small to import, and the same in every process.

`transformers` decides what a tokenizer is (which files, which special tokens, which post-processor); what it has decided is
written into one text, and read back by `tokenizers` wherever rows become tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tokenizers


@dataclass(frozen=True)
class Vocabulary:
    """Text to token ids, exactly as the `AutoTokenizer` that it was made of."""

    description: str
    """The whole tokenizer, as in tokenizer.json."""
    eos: int
    """The token behind plain text."""
    plain_specials: bool
    """Whether special tokens that stand in a text are text (`split_special_tokens`)."""
    _engine: tokenizers.Tokenizer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        engine = tokenizers.Tokenizer.from_str(self.description)
        engine.no_truncation()
        engine.no_padding()
        engine.encode_special_tokens = self.plain_specials
        object.__setattr__(self, "_engine", engine)

    @classmethod
    def of(cls, tokenizer: Any) -> "Vocabulary":
        """That of a fast tokenizer of transformers."""
        return cls(
            tokenizer.backend_tokenizer.to_str(),
            int(tokenizer.eos_token_id),
            bool(getattr(tokenizer, "split_special_tokens", False)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Vocabulary, (self.description, self.eos, self.plain_specials)

    def encode(
        self, texts: Sequence[str], *, special: bool, plain: bool = False
    ) -> list[tokenizers.Encoding]:
        """Each text's tokens. `special`: with what the tokenizer itself puts before and behind a text.

        `plain`: what looks like a special token is text.
        """
        if not texts:
            return []
        self._engine.encode_special_tokens = plain or self.plain_specials
        return self._engine.encode_batch(list(texts), add_special_tokens=special)

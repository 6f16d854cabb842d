"""A tokenizer alone, without the library around it: small to import, and the same in every process.

`transformers` decides what a tokenizer is (which files, which special tokens, which post-processor); what it has decided is
written into one text, and read back by `tokenizers` wherever rows become tokens.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tokenizers

from finetune_trainer.data import cuts
from finetune_trainer.data.boundaries import Boundaries, Tokens
from finetune_trainer.data.lexicon import Lexicon

LEADS = ("\ue000", "\n", ".")
"""What may be put before a text so that it is not taken for a beginning; no tokenizer makes one token of the first and more."""
SPACES = ("▁", "Ġ")
"""How tokens write the space before a word."""


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

    def tokens(self, texts: Sequence[str], *, special: bool) -> Sequence[Tokens]:
        """The same tokens as `encode` gives, to be asked where they begin."""
        if self._lexicon and not (special and self._framing):
            return self._lexicon.tokens(texts)
        found = self.encode(texts, special=special)
        return [Boundaries(encoding, len(text)) for encoding, text in zip(found, texts, strict=True)]

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

    def leads(self, before: str) -> tuple[str, ...]:
        """What to put before a text that goes on behind `before`, so that it is read as it is there: try one after the other.

        Many tokenizers give a text a space in front: some at the very beginning only, some behind each special token too.
        """
        if not before or not self._spaced:
            return ("",)
        return ("",) if self._spaced_behind_special and self._special_last(before) else (*LEADS, "")

    def commands(self, ids: Sequence[int]) -> list[str]:
        """The special tokens among `ids`."""
        return [self._specials[one].content for one in ids if one in self._specials]

    @functools.cached_property
    def _lexicon(self) -> Lexicon | None:
        """None where a text's tokens are not known to be those of its parts."""
        return Lexicon(functools.partial(self.encode, special=False)) if cuts.allowed(self._engine) else None

    @functools.cached_property
    def _framing(self) -> bool:
        """Whether the tokenizer puts something of its own before or behind a text."""
        (encoding,) = self.encode([""], special=True)
        return bool(encoding.ids)

    @functools.cached_property
    def _specials(self) -> dict[int, tokenizers.AddedToken]:
        added = self._engine.get_added_tokens_decoder().items()
        return {number: token for number, token in added if token.special}

    @functools.cached_property
    def _spaced(self) -> bool:
        (encoding,) = self.encode(["a"], special=False)
        return encoding.tokens[0].startswith(SPACES)

    @functools.cached_property
    def _spaced_behind_special(self) -> bool:
        (encoding,) = self.encode([str(self._engine.id_to_token(self.eos)) + "a"], special=False)
        return any(token.startswith(SPACES) for token in encoding.tokens[1:])

    def _special_last(self, before: str) -> bool:
        """Whether a special token ends `before`, with the space that it takes behind it."""
        return any(
            (before.rstrip() if token.rstrip else before).endswith(token.content)
            for token in self._specials.values()
        )

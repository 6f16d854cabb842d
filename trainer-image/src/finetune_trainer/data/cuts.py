r"""Where a text may be cut so that its parts have the very tokens of the whole: known of some tokenizers, never guessed.

A tokenizer takes its special tokens out of a text, composes what is left (NFC, or nothing), cuts that by an expression, and makes
tokens of each piece on its own. A text is cut in two places only:

- before a space that stands alone between two other characters (`a| b`). No `EXPRESSIONS` has a match that goes on with a space
  behind anything but space: each takes the space with what follows it.
- behind a line end that stands alone between two other characters, the second of them no slash (`a\n|b`). None has a match that
  goes on with such a character behind a line end.

So no match reaches over a cut. `\s+(?!\S)`, all that looks beyond its own end, takes a run of space but for its last character:
no run is parted, and one that ends with a cut has a single character, which the expression behind it, `\s+`, takes as well.
Composing never reaches over a space or a line end: they are no second half of any character.

Space is what Python takes for it, a little more than the expressions do: a cut less.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import tokenizers

# No possessive quantifiers, though none of these ever goes back: Python before 3.11.5 matches `(...)*+` wrongly.
_PART = re.compile(r"\s*\S+(?:(?! \S|\n[^\s/])\s+\S+)*(?:\n(?=[^\s/])|\s+\Z)?|\s+")
_CAPITAL, _SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACE = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
EXPRESSIONS = frozenset(
    {
        # Llama 3, Phi 4, SmolLM3
        _SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _SPACE,
        # Qwen 2, 2.5 and 3
        _SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _SPACE,
        # Qwen 3.5
        _SHORT + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + _SPACE,
        # gpt-oss, Phi 4 mini
        rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITAL}*{_SMALL}+{_SHORT}?|[^\r\n\p{{L}}\p{{N}}]?{_CAPITAL}+{_SMALL}*{_SHORT}?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _SPACE,
        # Mistral Nemo, Ministral, Mistral Small 3
        rf"[^\r\n\p{{L}}\p{{N}}]?{_CAPITAL}*{_SMALL}+|[^\r\n\p{{L}}\p{{N}}]?{_CAPITAL}+{_SMALL}*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _SPACE,
    }
)
"""How byte-level tokenizers cut, besides GPT-2's own expression, which `ByteLevel` has built in (GPT-2, SmolLM2, StarCoder)."""


def parts(text: str) -> list[str]:
    """`text` in parts, for tokenizers that `allow` it; joined they are the text again."""
    return _PART.findall(text)


def allowed(engine: tokenizers.Tokenizer) -> bool:
    """Whether the tokens of a text are those of its parts, one behind the other, and stand for the same characters."""
    return (
        not getattr(engine.model, "dropout", None)
        and _settings(engine.normalizer).get("type") in {None, "NFC"}
        and _cutting(list(_steps(_settings(engine.pre_tokenizer), "pretokenizers")))
        and not any(
            step.get("trim_offsets") for step in _steps(_settings(engine.post_processor), "processors")
        )
        and not any(_reaching(token) for token in engine.get_added_tokens_decoder().values())
    )


def _settings(component: Any) -> dict[str, Any]:
    """A component of a tokenizer as tokenizer.json has it; nothing where there is none."""
    found: dict[str, Any] = json.loads(component.__getstate__()) if component else {}
    return found


def _steps(component: dict[str, Any], inner: str) -> Iterator[dict[str, Any]]:
    """A component, or those of a sequence."""
    if component.get("type") != "Sequence":
        yield component
        return
    for step in component[inner]:
        yield from _steps(step, inner)


def _cutting(steps: list[dict[str, Any]]) -> bool:
    """Whether one of `steps` cuts at each spot where we do, and none before it looks at more than single characters.

    What comes behind it sees one piece at a time.
    """
    digits = itertools.takewhile(lambda step: step.get("type") == "Digits", steps)
    first = len(list(digits))
    return any(map(_by_expression, steps[first : first + 1])) and all(
        _by_expression(step) or _bytes(step) or step["type"] == "Digits" for step in steps[first:]
    )


def _bytes(step: dict[str, Any]) -> bool:
    return step.get("type") == "ByteLevel" and not step["add_prefix_space"]


def _by_expression(step: dict[str, Any]) -> bool:
    if _bytes(step):
        return bool(step["use_regex"])
    return (
        step.get("type") == "Split"
        and step["pattern"].get("Regex") in EXPRESSIONS
        and step["behavior"] == "Isolated"
        and not step["invert"]
    )


def _reaching(token: tokenizers.AddedToken) -> bool:
    """Whether a token takes anything of what stands beside it, or holds space itself."""
    return bool(
        token.lstrip or token.rstrip or token.single_word or any(sign.isspace() for sign in token.content)
    )

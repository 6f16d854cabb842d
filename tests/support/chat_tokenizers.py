"""Small tokenizers of the kinds that chat models have, trained on the spot, each with a family's own special tokens.

A mask goes wrong where tokens meet: byte-level tokenizers merge line ends over a header's end, SentencePiece ones carry the
space of a word in its first token, and some swallow the space behind a special token. So the masks are tested on all of them.
"""

import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

Kind = Literal["bytes", "bytes-nfc", "metaspace-first", "metaspace-legacy", "metaspace-bare"]
"""How Llama 3 and Phi 4 cut text, how Qwen does (composed first), Mistral, Llama 2, and Gemma."""
SIZE = 2048
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Words, numbers, signs with the line ends behind them: as most byte-level models cut."""
KOREAN = "대한민국의 수도는 서울입니다. 안녕하세요, 무엇을 도와드릴까요? 감사합니다.\n"


def made(kind: Kind, special: Sequence[str], *, bos: str, eos: str, swallow: bool = False) -> Any:
    """A fast tokenizer of transformers. `swallow`: its special tokens take the space behind them, as those of Phi 3 do."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - seconds of import

    tokenizer = Tokenizer.from_str(_trained(kind))
    names = dict.fromkeys([*special, *(name for name in (bos, eos) if name)])
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False, rstrip=swallow) for name in names]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos or None, eos_token=eos, clean_up_tokenization_spaces=False
    )


def said(tokenizer: Any, ids: Sequence[int]) -> str:
    """The characters of tokens, none added and none taken away: what `decode` makes of a beginning is another question."""
    tokens = tokenizer.convert_ids_to_tokens(list(ids))
    if tokenizer.backend_tokenizer.decoder.__class__.__name__ == "ByteLevel":
        return str(tokenizer.decode(list(ids)))
    special, text = set(tokenizer.all_special_tokens), b""
    for token in tokens:
        if token not in special and len(token) == len("<0x00>") and token.startswith("<0x"):
            text += bytes([int(token[3:5], 16)])
        else:
            text += (token if token in special else token.replace("▁", " ")).encode()
    return text.decode()


@functools.cache
def _trained(kind: Kind) -> str:
    tokenizer = _byte_level(kind) if kind.startswith("bytes") else _metaspace(kind)
    return str(tokenizer.to_str())


def _corpus() -> list[str]:
    library = Path(os.__file__).parent
    return [(library / name).read_text() for name in ("argparse.py", "datetime.py")] + [
        KOREAN * 20,
        "\n\n \n" * 200,
    ]


def _byte_level(kind: Kind) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if kind == "bytes-nfc":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return tokenizer


def _metaspace(kind: Kind) -> Tokenizer:
    """BPE over words with their space in front, single bytes where a character is unknown."""
    learning = Tokenizer(models.BPE())
    learning.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    learning.train_from_iterator(_corpus(), trainers.BpeTrainer(vocab_size=SIZE, show_progress=False))
    learnt = json.loads(learning.to_str())["model"]
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *learnt["vocab"]]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={word: at for at, word in enumerate(dict.fromkeys(words))},
            merges=[tuple(merge) for merge in learnt["merges"]],
            byte_fallback=True,
            unk_token="<unk>",
            fuse_unk=True,
        )
    )
    replaced = normalizers.Replace(" ", "▁")
    if kind == "metaspace-first":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    elif kind == "metaspace-legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replaced])
    else:
        tokenizer.normalizer = replaced
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer

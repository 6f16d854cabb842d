"""A tiny chat model, built offline: Qwen3's architecture, 4 layers, hidden size 64, 4096 tokens, random weights, 2 MB.

`folder()` is the model as a Hugging Face folder, made once and kept in the user's cache by the content of this file and
the versions that shape it. It is for everything mechanical; it knows nothing.
"""
# ruff: noqa: PLC0415 - torch and transformers take seconds to import, and are needed only to build it

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from pathlib import Path

MERGES = Path(__file__).resolve().parents[1] / "data" / "tiny-tokenizer-merges.txt"
"""What its tokenizer learned, once, from the standard library's argparse, ast, datetime, decimal, difflib, doctest, inspect and
typing, split as Qwen splits. Kept as a file: another Python has other words there."""
VOCABULARY = 4096
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""Bare ChatML, without generation markers, as most models have it."""


def cache() -> Path:
    """Where things that are costly to build are kept between test runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "finetune-operator"


@functools.cache
def folder() -> Path:
    """The model's folder; built if it is not there yet (5 s). Read-only by agreement: copy it before you change it."""
    kept = cache() / f"tiny-model-{_key()}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=kept.parent, prefix="building-"))
        try:
            build(building)
            building.chmod(0o755)
            with contextlib.suppress(OSError):  # another process was faster: its folder is as good
                building.rename(kept)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return kept


def build(into: Path) -> None:
    """Write config, weights, tokenizer and chat template into the folder `into`."""
    build_tokenizer(into)
    build_weights(into)


def build_tokenizer(into: Path) -> None:
    """A byte-level BPE of 4096 tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers.models.qwen2 import tokenization_qwen2

    merges = [
        (left, right) for left, _, right in (line.partition(" ") for line in MERGES.read_text().splitlines())
    ]
    words = [
        *SPECIAL,
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *(left + right for left, right in merges),
    ]
    tokenizer = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, merges))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(tokenization_qwen2.PRETOKENIZE_REGEX), behavior="isolated", invert=False
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(into / "tokenizer.json"))
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "bos_token": None,
        "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
    }
    (into / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    (into / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def build_weights(into: Path) -> None:
    """Random weights from a fixed seed, float32."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=SPECIAL.index("<|im_end|>"),
        pad_token_id=SPECIAL.index("<|endoftext|>"),
        dtype="float32",
    )
    model = Qwen3ForCausalLM(config)
    model.save_pretrained(into)
    for file in into.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes them 0600


def _key() -> str:
    """Changes with everything that shapes the model."""
    parts = [Path(__file__).read_text(), MERGES.read_text()]
    parts += [importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

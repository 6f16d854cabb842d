"""A tiny encoder in the manner of BERT, built offline: 3 layers, hidden size 32, words of the tests' rows, random weights."""
# ruff: noqa: PLC0415 - torch and transformers take seconds to import, and are needed only to build it

import json
from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "it",
    "is",
    "after",
    "comes",
    "the",
    "number",
    "a",
    "blue",
    "whale",
    "swims",
    "##s",
    ".",
    *map(str, range(60)),
)
LAYERS = 3


def build_small(into: Path, *, around: bool = True) -> None:
    """Config and tokenizer, and in place of the weights a file that nobody can read. `around`: texts stand between two tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    into.mkdir(parents=True)
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if around:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
        )
    tokenizer.save(str(into / "tokenizer.json"))
    names = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
    )
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **names}
    (into / "tokenizer_config.json").write_text(json.dumps(told))
    (into / "config.json").write_text(json.dumps({"model_type": "bert", **_sizes(len(vocabulary))}))
    (into / "model.safetensors").write_bytes(b"no weights")


def build(into: Path) -> None:
    """The whole model."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    build_small(into)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForMaskedLM(BertConfig(**_sizes(len(SPECIAL) + len(WORDS)), initializer_range=0.5))
    (into / "model.safetensors").unlink()
    model.save_pretrained(into)


def _sizes(vocabulary: int) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
    }

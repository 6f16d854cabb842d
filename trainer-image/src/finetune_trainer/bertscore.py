"""BERTScore: how alike two texts are to an encoder, token by token. The arithmetic is torchmetrics'.

On CPU and in float32, whatever trains: the figures are the same everywhere, and no memory is needed where memory is dear.
"""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer

from finetune_trainer import errors
from finetune_trainer.base_model import SCORER
from finetune_trainer.metrics import FIGURES

LONGEST = 510
"""Tokens of a text that are looked at, those at its ends included: RoBERTa's 514 positions begin with 2 that none has."""

Pair = tuple[str, str]
"""An answer, and the row's own."""


def load(folder: Path) -> tuple[Any, Any]:
    """Encoder and tokenizer in `folder`. Raises `UnsupportedModelFiles` where its weights are not those of its config."""
    try:
        model, told = AutoModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True,
            trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise errors.UnsupportedModelFiles(
            f"{SCORER}: the weights cannot be loaded ({type(error).__name__}); copy the model there again"
        ) from error
    lost = sorted(name for name in told["missing_keys"] if "pooler" not in name)
    if lost:
        raise errors.UnsupportedModelFiles(
            f"{SCORER}: {len(lost)} of the encoder's weights are missing, {lost[0]} among them; copy the model there again"
        )
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def scores(
    pairs: Sequence[Pair], folder: Path, layer: int | None, move: Callable[[str], object]
) -> dict[str, float]:
    """Precision, recall and F1 over `pairs`, the mean over them, by the encoder in `folder`; `move` is called for every pair.

    An empty answer is like nothing but an empty one. Neither idf weights nor a baseline: both depend on other texts.
    """
    found = []
    with torch.random.fork_rng(
        devices=[]
    ):  # both draw: layers that the file lacks, and each DataLoader of the metric
        model, tokenizer = load(folder)
        for number, (answer, own) in enumerate(pairs, start=1):
            move(f"computing bertscore of answer {number} of {len(pairs)}")
            found.append(_one(model, tokenizer, answer, own, layer))
    columns = zip(*found, strict=True)
    return dict(zip(FIGURES["bertscore"], map(statistics.fmean, columns), strict=True))


def _one(model: Any, tokenizer: Any, answer: str, own: str, layer: int | None) -> tuple[float, float, float]:
    """Precision, recall and F1 of one pair. Never several at once: torchmetrics 1.9 pairs them wrongly then.

    It sorts answers and own ones by length, each for themselves, and does not sort them back.
    """
    from torchmetrics.functional.text.bert import bert_score  # noqa: PLC0415 - a second of import

    texts = [_tokens(tokenizer, text) for text in (answer, own)]
    nothing = [text["input_ids"].shape[1] == tokenizer.num_special_tokens_to_add() for text in texts]
    if any(nothing):
        same = float(all(nothing))
        return same, same, same
    said: Any = bert_score(texts[0], texts[1], model=model, num_layers=layer, device="cpu")
    precision, recall, f1 = (float(said[name]) for name in ("precision", "recall", "f1"))
    return precision, recall, f1


def _tokens(tokenizer: Any, text: str) -> dict[str, torch.Tensor]:
    made = tokenizer(text, truncation=True, max_length=LONGEST, return_tensors="pt")
    return {name: made[name] for name in ("input_ids", "attention_mask")}

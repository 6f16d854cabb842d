"""How good a model is on the held-out rows, and what it answers. The same rows and the same code for base and tuned."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, StoppingCriteriaList

from finetune_trainer import errors
from finetune_trainer.prepared import TokenizerFacts
from finetune_trainer.task import Measured

IGNORED = -100
"""Label of a token that is not learned."""

MOST_LOGITS = 2**27
"""Numbers (0.5 GB in float32) that a batch may have logits of, unless a single row has more. Training never builds them."""

Row = dict[str, list[int]]
"""`input_ids` and `labels`, of equal length."""

Move = Callable[[str], object]
"""Called whenever something moved, with a sentence; raises `Interrupted` where the pod was told to end."""


def without_adapter(model: PeftModel) -> AbstractContextManager[Any]:
    """The base model, as long as this is open."""
    context: AbstractContextManager[Any] = model.disable_adapter()
    return context


def measure(
    model: Any,
    rows: list[Row],
    *,
    batch_size: int,
    move: Move,
) -> Measured:
    """Mean loss of `rows`: nats per supervised token, every token counting the same. At least one must be supervised."""
    was_training, total, tokens = model.training, 0.0, 0
    model.eval()
    try:
        with torch.inference_mode():
            for done, batch in _batches(rows, batch_size, model.config.vocab_size):
                loss, count = _summed(model, batch)
                total, tokens = total + loss, tokens + count
                move(f"{done} of {len(rows)} held-out rows")
    finally:
        model.train(was_training)
    loss = total / tokens
    if not math.isfinite(loss):
        raise errors.NonFiniteLoss(
            f"the held-out loss is {loss}: the model's weights or the arithmetic overflow; lower training.learningRate, or use "
            "another training.precision"
        )
    return Measured(loss=loss, perplexity=_perplexity(loss))


def _perplexity(loss: float) -> float | None:
    try:
        return math.exp(loss)
    except OverflowError:
        return None


def _batches(rows: list[Row], size: int, vocabulary: int) -> Iterator[tuple[int, list[Row]]]:
    """Rows of like length together, so that little is padded, with how many are done after each batch.

    At most `size` rows, and fewer where their logits would be larger than `MOST_LOGITS`.
    """
    batch: list[Row] = []
    for done, row in enumerate(sorted(rows, key=lambda row: len(row["input_ids"]))):
        too_large = (len(batch) + 1) * len(row["input_ids"]) * vocabulary > MOST_LOGITS
        if batch and (len(batch) == size or too_large):
            yield done, batch
            batch = []
        batch.append(row)
    if batch:
        yield len(rows), batch


def _summed(model: torch.nn.Module, batch: list[Row]) -> tuple[float, int]:
    """Summed loss (nats) and number of the supervised tokens of `batch`.

    Only the positions that predict a supervised token go through the head: full logits of a large vocabulary are the
    largest tensor there is.
    """
    device = next(model.parameters()).device
    ids, labels, mask = (tensor.to(device) for tensor in _padded(batch))
    targets = labels[:, 1:]
    positions = (targets != IGNORED).any(dim=0).nonzero().squeeze(-1)
    if not len(positions):
        return 0.0, 0
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=positions, use_cache=False).logits
    wanted = targets[:, positions]
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return float(loss), int((wanted != IGNORED).sum())


def _padded(batch: list[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, labels and attention mask (B, L), padded on the right; what stands under the padding is never looked at."""
    length = max(len(row["input_ids"]) for row in batch)
    ids = [row["input_ids"] + [0] * (length - len(row["input_ids"])) for row in batch]
    labels = [row["labels"] + [IGNORED] * (length - len(row["labels"])) for row in batch]
    mask = [[1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in batch]
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(mask)


@dataclass(frozen=True, kw_only=True)
class Answering:
    """How prompts become tokens, and what ends an answer."""

    tokenizer: Any
    facts: TokenizerFacts
    max_new_tokens: int
    move: Move

    def answers(self, model: Any, prompts: list[list[int]]) -> list[str]:
        """What `model` says next after each prompt (token ids), always taking the likeliest token."""
        was_training = model.training
        model.eval()
        said = []
        for number, prompt in enumerate(prompts, start=1):
            self.move(f"answering sample {number} of {len(prompts)}")
            said.append(self._answer(model, prompt))
        model.train(was_training)
        return said

    def _answer(self, model: Any, prompt: list[int]) -> str:
        ids = torch.tensor([prompt], device=model.device)
        greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=list(dict.fromkeys([*self.facts.end_of_turn_ids, self.facts.eos_token_id])),
            pad_token_id=self.facts.pad_token_id,
        )
        with torch.inference_mode():
            made = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=greedy,
                stopping_criteria=StoppingCriteriaList([self._moved]),
            )
        return str(self.tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)).strip()

    def _moved(self, ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """Never a reason to stop, but called for every token."""
        del scores
        self.move("answering samples")
        return torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)

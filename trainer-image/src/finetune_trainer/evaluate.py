"""How likely a model finds the held-out rows, and what it answers. The same code for base and tuned."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, StoppingCriteriaList

from finetune_trainer import errors
from finetune_trainer.heldout import Row
from finetune_trainer.prepared import TokenizerFacts
from finetune_trainer.tables import IGNORED

MOST_LOGITS = 2**27
"""Numbers (0.5 GB in float32) that a batch may have logits of, unless a single row has more. Training never builds them."""

Move = Callable[[str], object]
"""Called whenever something moved, with a sentence; raises `Interrupted` where the pod was told to end."""


def without_adapter(model: Any) -> AbstractContextManager[Any]:
    """The base model, as long as this is open; where all weights learn, the model as it is."""
    if not isinstance(model, PeftModel):
        return nullcontext()
    context: AbstractContextManager[Any] = model.disable_adapter()
    return context


def until_interrupted() -> AbstractContextManager[Any]:
    """What is measured between two steps is given up where the pod was told to end: a checkpoint counts for more."""
    return suppress(errors.Interrupted)


@dataclass(frozen=True)
class Said:
    """How likely a model finds the labelled tokens of some rows, in their order."""

    log_probs: list[float]
    """Of all of a row's together (nats)."""
    right: list[int]
    """How many of a row's the model finds likelier than any other token in their place."""


def said_of(model: Any, rows: Sequence[Row], *, batch_size: int, move: Move) -> Said:
    """What `model` says of `rows`."""
    found = Said([0.0] * len(rows), [0] * len(rows))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():  # sharded weights count their versions, which inference mode does not know
            for done, places in _batches(rows, batch_size, model.config.vocab_size):
                summed, right = _summed(model, [rows[place] for place in places])
                for place, log_prob, hits in zip(places, summed, right, strict=True):
                    found.log_probs[place], found.right[place] = log_prob, hits
                move(f"{done} of {len(rows)} held-out sequences")
    finally:
        model.train(was_training)
    return found


def _batches(rows: Sequence[Row], size: int, vocabulary: int) -> Iterator[tuple[int, list[int]]]:
    """Places of rows of like length together, so that little is padded, with how many are done after each batch.

    At most `size` rows, and fewer where their logits would be larger than `MOST_LOGITS`.
    """
    batch: list[int] = []
    by_length = sorted(range(len(rows)), key=lambda place: len(rows[place]["input_ids"]))
    for done, place in enumerate(by_length):
        too_large = (len(batch) + 1) * len(rows[place]["input_ids"]) * vocabulary > MOST_LOGITS
        if batch and (len(batch) == size or too_large):
            yield done, batch
            batch = []
        batch.append(place)
    if batch:
        yield len(rows), batch


def _summed(model: torch.nn.Module, batch: list[Row]) -> tuple[list[float], list[int]]:
    """Summed log probability (nats) of the labelled tokens of each row of `batch`, and how many are the likeliest.

    Only the positions that predict a labelled token go through the head: full logits of a large vocabulary are the
    largest tensor there is.
    """
    device = next(model.parameters()).device
    ids, labels, mask = (tensor.to(device) for tensor in _padded(batch))
    targets = labels[:, 1:]
    positions = (targets != IGNORED).any(dim=0).nonzero().squeeze(-1)
    if not len(positions):
        return [0.0] * len(batch), [0] * len(batch)
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=positions, use_cache=False).logits
    wanted = targets[:, positions]
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=IGNORED, reduction="none"
    )
    summed: list[float] = (-losses.view(wanted.shape).double().sum(dim=1)).tolist()
    right: list[int] = ((logits.argmax(dim=-1) == wanted) & (wanted != IGNORED)).sum(dim=1).tolist()
    return summed, right


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
    batch_size: int
    """Prompts answered together: longer ones wait for each other, and each token costs one pass."""
    move: Move
    together: bool = False
    """Whether all ranks answer, each pass being one of all: none stops before the others."""

    @property
    def _ends(self) -> list[int]:
        """Tokens that end an answer."""
        return list(dict.fromkeys([*self.facts.end_of_turn_ids, self.facts.eos_token_id]))

    def answers(self, model: Any, prompts: Sequence[Sequence[int]]) -> list[str]:
        """What `model` says next after each prompt (token ids), always taking the likeliest token."""
        was_training = model.training
        model.eval()
        said = [""] * len(prompts)
        by_length = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        try:
            for done in range(0, len(prompts), self.batch_size):
                places = by_length[done : done + self.batch_size]
                self.move(f"answering: {done} of {len(prompts)} done")
                answers = self._answered(model, [prompts[place] for place in places])
                for place, answer in zip(places, answers, strict=True):
                    said[place] = answer
        finally:
            model.train(was_training)
        return said

    def _answered(self, model: Any, prompts: list[Sequence[int]]) -> list[str]:
        """One batch, padded on the left so that all answers begin in one column."""
        length = max(map(len, prompts))
        padding = [[self.facts.pad_token_id] * (length - len(prompt)) for prompt in prompts]
        ids = torch.tensor(
            [[*pad, *prompt] for pad, prompt in zip(padding, prompts, strict=True)], device=model.device
        )
        mask = torch.tensor(
            [[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device
        )
        greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=self._ends,
            pad_token_id=self.facts.pad_token_id,
        )
        with torch.no_grad():
            made = model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=greedy,
                stopping_criteria=StoppingCriteriaList([self._moved]),
                synced_gpus=self.together,
            )
        return [self._text(row) for row in made[:, length:].tolist()]

    def _text(self, tokens: list[int]) -> str:
        """An answer up to its end; what comes after it is padding."""
        end = next((place for place, token in enumerate(tokens) if token in self._ends), len(tokens))
        return str(self.tokenizer.decode(tokens[:end], skip_special_tokens=True)).strip()

    def _moved(self, ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """Never a reason to stop, but called for every token."""
        del scores
        self.move("")
        return torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
